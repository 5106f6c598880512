"""What all sources of encoder counts have in common: a simulated arm, a log, a serial line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Clock = Callable[[], int]
"""Tells the time of who asks, in ns."""


@dataclass(frozen=True)
class Sample:
    """Counts by joint name, NaN where an encoder gave none, taken at ``stamp`` (ns) on the asker's clock.

    ``time`` (s) is the same moment on the source's own clock: exact intervals, but any origin. ``first``: nothing is
    known of what lies between the last sample and this one, so it must not be compared with that.
    """

    counts: dict[str, float]
    stamp: int
    time: float
    first: bool = False


class EncoderSource(ABC):
    """Samples in the order of time, for who asks again and again.

    ``period`` (s) is how often to ask. ``faults`` counts by kind what was wrong since the start, ``trouble`` says what
    is wrong at present; empty: nothing.
    """

    period: float
    trouble: str = ""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()

    @abstractmethod
    def due(self, clock: Clock) -> Iterable[Sample]:
        """The samples whose time has come since the last call."""

    def restart(self) -> None:  # noqa: B027 (most have nothing to do)
        """Start anew, for a clock that jumped back."""

    def close(self) -> None:  # noqa: B027
        """Give back what is held open."""
