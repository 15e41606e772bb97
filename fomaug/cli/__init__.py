"""The command line: `fomaug expand`, `animate`, `pool`, `model` and more.

Commands are thin: they parse, call and print. Their modules are imported when they run, so that `--help` is quick.
Exit codes: 0 done; 1 the answer is no (`verify`, `check`); 2 wrong arguments or input; 3 done, but some inputs failed
and are named; 130 interrupted; 141 the reader of the output has ended; 143 terminated.
"""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: arguments without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    try:
        from fomaug.cli.group import main as run

        return run(args)
    except KeyboardInterrupt:  # while modules are imported; `run` handles all others
        sys.stderr.write("\nInterrupted; nothing was done.\n")
        return 130
