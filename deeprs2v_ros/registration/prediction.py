"""Where the organ is by now, and where it will be when the next image is taken: its motion a little ahead of time.

A registration tells where the organ was when the image was taken. `MotionPredictor` carries that on by filters of
different agility (`motion_filter`) and corrects them by how this patient's breathing went on from moments like this
one (`motion_memory`). It holds every new measurement against what it had predicted for that time: so it knows how far
its covariances can be trusted, and falls silent when they cannot.

The motion is C, rest_from_displaced (4, 4) mm: tissue at y of the volume is at C^-1 y now. A small motion G about
``centre`` in volume axes changes it to G C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, about, from_motion, inverse, seen_from, to_motion
from deeprs2v_ros.registration.correction import LEVER
from deeprs2v_ros.registration.motion_filter import SPEED, MotionFilter, Snapshot
from deeprs2v_ros.registration.motion_memory import REACH, MotionMemory, corrected
from deeprs2v_ros.registration.settings import PredictionSettings

GAP = 1.0
"""s without a measurement after which the filters start anew; what is remembered of breathing stays."""
FARTHEST = 0.5
"""s that a motion is carried on; later, only its covariance grows."""
ALARM = 1.5
"""A single measurement this many times the allowed error from its prediction silences predictions at once."""
_TO_MM = np.array([1.0] * 3 + [LEVER] * 3)
_SCALING = np.outer(_TO_MM, _TO_MM)


class Prediction(NamedTuple):
    """The ``motion`` C (4, 4) and the ``covariance`` (6, 6) of a small motion of it about the centre, volume axes.

    ``horizon`` s after the last measurement, negative before it; ``recent_error`` (mm, root mean square) is how far
    measurements of about the last second were from what had been predicted over about that horizon, NaN if unknown.
    """

    motion: Array
    covariance: Array
    horizon: float
    recent_error: float


@dataclass(frozen=True)
class _Moment:
    time: int
    snapshot: Snapshot
    correction: Array
    number: int | None

    def after(self, horizon: float) -> tuple[Array, Array]:
        position, covariance = self.snapshot.after(horizon)
        return position + corrected(self.correction, horizon), covariance


class MotionPredictor:
    """Predicts the organ's motion. ``centre`` (3,) mm is the point of the volume that small motions are about."""

    def __init__(self, centre: Array, settings: PredictionSettings | None = None) -> None:
        self._centre = np.asarray(centre, dtype=float)
        self._settings = settings or PredictionSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as for another volume, patient or clock."""
        self._filter, self._memory, self._record = (
            MotionFilter(),
            MotionMemory(),
            _Record(ALARM * self._settings.maximum_error),
        )
        self._moments: list[_Moment] = []

    def awaits(self, time: int) -> bool:
        """Whether ``time`` (ns) is after that of the last measurement, if there was one."""
        return not self._moments or time > self._moments[-1].time

    def update(self, time: int, motion: Array, covariance: Array) -> None:
        """Take in the ``motion`` C (4, 4) that an image showed at ``time`` (ns).

        ``covariance`` (6, 6) is that of a small motion about the centre in volume axes. Raises InputError, and changes
        nothing, for a time that is not after the last one, or for numbers that are not finite.
        """
        if not (np.isfinite(motion).all() and np.isfinite(covariance).all()):
            raise InputError("prediction: motion or covariance is not finite")
        if not self._moments:
            self._start = motion.copy()
            self._epoch = time
            self._begin(time, np.zeros(6), covariance * _SCALING)
            return
        if not self.awaits(time):
            raise InputError(f"prediction: time {time} is not after the last one, {self._moments[-1].time}")
        small = to_motion(about(-self._centre, motion @ inverse(self._start)))
        there = seen_from(small[:3])  # the covariance is about the centre, the filters follow where the centre goes
        spread = there @ covariance @ there.T * _SCALING
        position = small * _TO_MM
        elapsed = (time - self._moments[-1].time) * 1e-9
        if elapsed > GAP:
            self._begin(time, position, spread)
            return
        self._compare(time, elapsed, position, spread)
        self._remember(time, position, self._filter.update(elapsed, position, spread))

    def predict(self, time: int) -> Prediction | None:
        """The motion at ``time`` (ns), to be shown. None if nothing is known, if the last image is too long ago, or if
        recent predictions were too far off.
        """
        expected = self.expect(time)
        if expected is None or abs(time - self._moments[-1].time) > round(self._settings.horizon * 1e9):
            return None
        return None if expected.recent_error > self._settings.maximum_error else expected

    def expect(self, time: int) -> Prediction | None:
        """The best guess at ``time`` (ns), however bad: to start a registration from. None before any measurement."""
        if not self._moments:
            return None
        horizon = (time - self._moments[-1].time) * 1e-9
        carried = min(max(horizon, -FARTHEST), FARTHEST)
        position, covariance = self._moments[-1].after(carried)
        covariance = self._record.scale * covariance + (SPEED * (horizon - carried)) ** 2 * np.eye(6)
        small = position / _TO_MM
        here = seen_from(-small[:3])
        motion = about(self._centre, from_motion(small)) @ self._start
        told = here @ (covariance / _SCALING) @ here.T + unmodelled(self._settings)
        return Prediction(motion, told, horizon, self._record.error(horizon))

    def _begin(self, time: int, position: Array, covariance: Array) -> None:
        self._moments = []
        self._remember(time, position, self._filter.start(position, covariance))

    def _remember(self, time: int, position: Array, snapshot: Snapshot) -> None:
        seconds = (time - self._epoch) * 1e-9
        state = snapshot.mean()
        number = self._memory.keep(seconds, state)
        if number is not None:  # without this, rare images would not determine where the correction begins
            self._memory.learn(number, 0.0, position - state[0])
        self._moments.append(_Moment(time, snapshot, self._memory.correction(seconds, state), number))
        self._moments = [each for each in self._moments if time - each.time < REACH * 1e9]

    def _compare(self, time: int, elapsed: float, position: Array, covariance: Array) -> None:
        """Hold a measurement against what had been predicted for its time, over three or four horizons."""
        for each in self._moments[:: -max(1, len(self._moments) // 3)]:
            horizon = (time - each.time) * 1e-9
            expected, spread = each.after(horizon)
            off = position - expected
            squared = off @ np.linalg.solve(self._record.scale * spread + covariance, off)
            self._record.add(elapsed, horizon, float(np.linalg.norm(off[:3])), float(squared))
            if each.number is not None:
                self._memory.learn(each.number, horizon, off + corrected(each.correction, horizon))


def unmodelled(settings: PredictionSettings) -> Array:
    """Covariance (6, 6) of what no motion tells, however it was found."""
    return np.diag([settings.unmodelled**2] * 3 + [0.0] * 3)


class _Record:
    """How good predictions were lately: their errors by horizon, and a scale that makes their covariances honest."""

    EDGES = (0.1, 0.2)
    """s: horizons up to these, and longer ones, are kept apart."""
    LASTS = 1.0
    """s after which an error counts a third."""
    TARGET = 0.93
    """Share of measurements that should be inside the ellipsoid for 95 %: some are outliers."""
    STEP = 0.1
    """Logarithm of the scale, for a measurement outside."""
    LIMITS = (0.7, 25.0)
    """Of the scale of variances."""

    def __init__(self, alarm: float) -> None:
        self.scale = 1.0
        self._alarm = alarm  # mm: one error beyond it counts at once, and over all longer horizons
        self._squares = [math.nan] * (len(self.EDGES) + 1)
        self._inside = float(chi2.ppf(0.95, 6))

    def add(self, elapsed: float, horizon: float, error: float, squared_distance: float) -> None:
        """Note an ``error`` (mm) over a ``horizon`` (s), and its squared Mahalanobis distance with `scale`.

        ``elapsed`` (s) is the time since the measurement before.
        """
        at = self._class(horizon)
        before, kept = self._squares[at], math.exp(-elapsed / self.LASTS)
        self._squares[at] = error**2 if math.isnan(before) else kept * before + (1.0 - kept) * error**2
        if error > self._alarm:
            self._squares[at:] = [error**2] * len(self._squares[at:])
        # Rises and falls are in balance when the target is met, whatever the distribution of errors.
        step = self.TARGET - 1.0 if squared_distance < self._inside else self.TARGET
        self.scale = min(max(self.scale * math.exp(self.STEP * step), self.LIMITS[0]), self.LIMITS[1])

    def error(self, horizon: float) -> float:
        """Root mean square (mm) over about this ``horizon`` (s); over the nearest one if there was none like it."""
        at = self._class(horizon)
        known = [n for n, square in enumerate(self._squares) if not math.isnan(square)]
        if not known:
            return math.nan
        return math.sqrt(self._squares[min(known, key=lambda n: abs(n - at))])

    def _class(self, horizon: float) -> int:
        return sum(horizon > edge for edge in self.EDGES)
