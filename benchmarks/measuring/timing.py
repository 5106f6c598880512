"""Times on a machine that others use as well: taken in turns, so that what disturbs one disturbs all, and as ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

import numpy as np

ENOUGH = 0.01
"""s: a repetition of something short is as many calls as take about that long ..."""
MOST_CALLS = 1000
"""... but no more than these."""


@dataclass
class Times:
    """Seconds a call, one entry a repetition: by the clock, and of all processors of this process."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def call(self, work: Callable[[], object], calls: int = 1) -> object:
        """Time ``calls`` calls as one repetition; returns what the last one did."""
        result, wall, cpu = None, perf_counter(), process_time()
        for _ in range(calls):
            result = work()
        self.wall.append((perf_counter() - wall) / calls)
        self.cpu.append((process_time() - cpu) / calls)
        return result

    @property
    def least(self) -> float:
        """The undisturbed repetition."""
        return min(self.wall)

    @property
    def median(self) -> float:
        """Of the clock."""
        return float(np.median(self.wall))

    @property
    def p95(self) -> float:
        """Of the clock."""
        return float(np.percentile(self.wall, 95))

    @property
    def busy(self) -> float:
        """Median of the processors' time."""
        return float(np.median(self.cpu))

    @property
    def busy_p95(self) -> float:
        """Of the processors' time."""
        return float(np.percentile(self.cpu, 95))

    def to_json(self) -> dict[str, float | int]:
        """In seconds."""
        return {
            "repetitions": len(self.wall),
            "least": self.least,
            "median": self.median,
            "p95": self.p95,
            "cpu_median": self.busy,
            "cpu_p95": self.busy_p95,
        }


@dataclass(frozen=True)
class Ratio:
    """Median of ratios of pairs, and between which most of them lie: the 10th and the 90th percentile."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{significant(self.median)} ({significant(self.low)} to {significant(self.high)})"

    def to_json(self) -> dict[str, float]:
        """The three numbers."""
        return {"median": self.median, "p10": self.low, "p90": self.high}


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """How many times longer ``slow`` took; the two were measured in turns, pair by pair."""
    low, median, high = np.percentile(np.divide(slow, fast), (10, 50, 90))
    return Ratio(float(median), float(low), float(high))


def in_turns(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    """Time every one of ``works`` ``repeats`` times, in turns; short ones are called several times a repetition."""
    calls = {}
    for name, work in works.items():
        work()  # compiles, and warms up
        began = perf_counter()
        work()
        calls[name] = max(1, math.ceil(ENOUGH / max(perf_counter() - began, ENOUGH / MOST_CALLS)))
    times = {name: Times() for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].call(work, calls[name])
    return times


def significant(value: float, digits: int = 3) -> str:
    """``value`` in so many digits, but never fewer than stand before the point: 0.0123, 4.56, 1234."""
    if not math.isfinite(value):
        return "-"
    if value == 0.0:
        return "0"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
