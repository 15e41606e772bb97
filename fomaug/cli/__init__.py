"""The command line: `fomaug expand`, `animate`, `pool`, `model` and more.

Commands are thin: they parse, call and print. Their modules are imported when they run, so that `--help` is quick.
Exit codes: 0 success; 1 the answer is no (`verify`, `check`); 2 wrong arguments or input; 3 success, but some inputs
failed and are named; 130 interrupted; 141 closed output pipe; 143 terminated.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

from fomaug.cli.interrupts import interruptible

__all__ = ["main"]

_WAIT_POLICIES: Final = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: arguments without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    _let_threads_sleep()
    with interruptible() as received:
        try:
            from fomaug.cli.group import run

            return run(list(sys.argv[1:] if args is None else args), received)
        except KeyboardInterrupt:  # only while modules are imported; `run` handles all others
            sys.stderr.write(f"\n{received.word}; nothing was done.\n")
            return received.exit_code


def _let_threads_sleep() -> None:
    """Make the threads of torch sleep while they wait for one another, unless the environment sets another policy.

    By default they spin for some milliseconds at the end of every operation. If other programs use the processor, the
    last thread cannot run during this time, and a picture takes twenty times as long. OpenMP reads the policy when
    torch is imported, and child processes inherit it.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAIT_POLICIES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
