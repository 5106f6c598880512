"""Recorded encoder counts, played at the pace at which they were recorded.

The format is CSV: one line of headings, ``stamp`` and the names of the joints, then one line for each sample with the
time in seconds, from any origin, and the counts.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from deeprs2v_ros.arm.motion_check import SILENCE
from deeprs2v_ros.arm.sources import Clock, EncoderSource, Sample
from deeprs2v_ros.errors import InputError

SECOND = 1_000_000_000
PAUSE = 2.0 * SILENCE
"""Seconds between the end of a log and its next beginning, where the arm is elsewhere: checks then start anew."""


class EncoderLog(EncoderSource):
    """The samples of one file, from the first call of `due` on, and again and again if it is looped."""

    def __init__(self, path: str | Path, loop: bool) -> None:
        """Raise InputError naming the file and the line unless it holds two samples or more with growing stamps."""
        super().__init__()
        self._times, self._counts = _read(Path(path))
        self._loop = loop
        self.period = min(later - earlier for earlier, later in pairwise(self._times)) / 4.0
        self.restart()

    def restart(self) -> None:
        """Play from the beginning."""
        self._next = 0
        self._origin: int | None = None

    def due(self, clock: Clock) -> Iterator[Sample]:
        """The samples whose time has come since the last call."""
        now = clock()
        if self._origin is None:
            self._origin = now
        while self._next < len(self._times):
            stamp = self._origin + round((self._times[self._next] - self._times[0]) * SECOND)
            if stamp > now:
                return
            yield Sample(self._counts[self._next], stamp, stamp / SECOND, self._next == 0)
            self._next += 1
            if self._next == len(self._times) and self._loop:
                self._next, self._origin = 0, stamp + round(PAUSE * SECOND)


def _read(path: Path) -> tuple[list[float], list[dict[str, float]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file ({error})") from error
    if not rows or rows[0][0] != "stamp" or len(rows[0]) < 2:
        raise InputError(f"{path}: does not begin with a line 'stamp,<joint>,...'")
    if len(rows) < 3:
        raise InputError(f"{path}: holds fewer than two samples")
    times: list[float] = []
    counts: list[dict[str, float]] = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            time, *values = (float(cell) for cell in row)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        if len(values) != len(rows[0]) - 1:
            raise InputError(f"{path}: line {number} has {len(values)} counts for {len(rows[0]) - 1} joints")
        if not math.isfinite(time) or (times and time <= times[-1]):
            raise InputError(f"{path}: line {number}: the stamp {row[0]} is not after the one before it")
        times.append(time)
        counts.append(dict(zip(rows[0][1:], values, strict=True)))
    return times, counts
