"""Handle the signals that end a command: that of Ctrl-C, and that of `kill` and cluster schedulers."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


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
