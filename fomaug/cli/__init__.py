"""The command line: `fomaug expand`, `animate`, `pool`, `model` and more.

Commands are thin: they parse, call and print. Their modules are imported when they run, so that `--help` is quick.
Exit codes: 0 success; 1 the answer is no (`verify`, `check`); 2 wrong arguments or input; 3 success, but some inputs
failed and are named; 130 interrupted; 141 closed output pipe; 143 terminated.
"""

import sys
from collections.abc import Sequence

from fomaug.cli.interrupts import interruptible

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: arguments without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    with interruptible() as received:
        try:
            from fomaug.cli.group import run

            return run(list(sys.argv[1:] if args is None else args), received)
        except KeyboardInterrupt:  # only while modules are imported; `run` handles all others
            sys.stderr.write(f"\n{received.word}; nothing was done.\n")
            return received.exit_code
