"""The command line: `fomaug expand`, `animate`, `pool`, `model` and more.

Commands are thin: they parse, call and print. Their modules are imported when they run, so that `--help` is quick.
Exit codes: 0 success; 1 the answer is no (`verify`, `check`); 2 wrong arguments or input; 3 success, but some inputs
failed and are named; 130 interrupted; 141 closed output pipe; 143 terminated.

Signals that end a command, that of Ctrl-C and that of `kill` and cluster schedulers, are handled here, before any other
module is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["main"]

EXIT_CODES: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}
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


class Interruption(KeyboardInterrupt):
    """A signal that ends the command.

    A plain KeyboardInterrupt in code that was compiled from a string, as in dataclasses, would make Python end the
    process by the signal instead of with the exit code.
    """


class Received:
    """A record of received signals, because libraries may replace the exception of a signal by their own.

    Attributes:
        number: number of the last signal; 0 for none.
    """

    number: int = 0

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        return EXIT_CODES.get(signal.Signals(self.number), 130) if self.number else 130

    @property
    def word(self) -> str:
        """Word for the end of the command."""
        return "Terminated" if self.number == signal.SIGTERM else "Interrupted"


@contextmanager
def interruptible() -> Iterator[Received]:
    """Raise `Interruption` on both signals during the block; ignored signals stay ignored.

    While a module is imported, a signal ends the process at once: compiled modules do not expect exceptions there, and
    abort.
    """
    received = Received()

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.number = number
        if _imports(frame):
            sys.stderr.write(f"\n{received.word}.\n")
            sys.stderr.flush()
            os._exit(received.exit_code)
        raise Interruption

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield received
        return
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a module is being imported at this frame."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
