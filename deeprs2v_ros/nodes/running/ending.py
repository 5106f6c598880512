"""How programs end when they are asked to. Imports nothing that takes long, so that it works from the first moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked(BaseException):
    """The program was asked to end.

    Not a KeyboardInterrupt: after one that came through exec(), as it may during an import, Python does not end with
    the status it is told but by SIGINT.
    """


class Ending:
    """SIGINT and SIGTERM end the program once, however often they come: a terminal and `launch` both send them.

    ``asked`` tells whether one came. rclpy's own handlers would shut the middleware down at once, under threads that
    still publish.
    """

    def __init__(self) -> None:
        self.asked = False
        self._interrupts = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within it, the first signal raises `Asked`, one that came before at once. Outside, none does."""
        self._interrupts = True
        try:
            if self.asked:
                raise Asked
            yield
        finally:
            self._interrupts = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if first and self._interrupts:
            raise Asked


def leave(status: int) -> NoReturn:
    """End the process with ``status``, now that all is put away, without waiting for threads that read or compile.

    Nothing can stop such a thread, and Python would wait for it, for up to a minute.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def leave_at_once_on_signals() -> None:
    """Until an `Ending` is made, a signal ends the program with status 0: nothing runs yet that needs an end."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
