"""How an organ's motion went on from moments like this one in the last minutes.

For every moment kept, it is known where the filters expected the organ to be afterwards, and where it was measured. How
far off they were, as a polynomial in time, is fitted over all moments that resemble the present one in position,
velocity and acceleration: the way in differs from the way out (kernel regression: Atkeson, Moore and Schaal, Artificial
Intelligence Review 11, 1997). Where nothing resembles the present, as in a cough or when breath is held, a ridge leaves
nothing of the correction.
"""

from __future__ import annotations

import numpy as np

from deeprs2v_ros.geometry import Array

REACH = 0.45
"""s after a moment within which measurements tell how it went on."""
MOMENTS = 2048
"""The most moments that are kept."""
APART = 0.045
"""The least time (s) between two moments that are kept."""
LASTS = 90.0
"""s after which a moment counts a third."""
ALIKE = (0.2, 0.2, 0.4)
"""Difference of position, velocity and acceleration, over its usual spread, at which a moment counts 0.6."""
SMALLEST_SPREAD = 0.5
"""mm, mm/s or mm/s^2 that are added to the spread: smaller differences are noise."""
RIDGE = 0.1
"""Measurements that say that there is nothing to correct."""
OUTLIER = 2.0
"""mm off at which a measurement counts half."""
_TERMS = 3


class MotionMemory:
    """Moments, each named by its number; numbers of forgotten ones are ignored."""

    def __init__(self) -> None:
        self._count = 0
        self._times = np.zeros(MOMENTS)
        self._states = np.zeros((MOMENTS, 18))
        self._sums = np.zeros((MOMENTS, _TERMS * (_TERMS + 6)))

    def keep(self, time: float, state: Array) -> int | None:
        """Remember ``state``, position, velocity and acceleration (3, 6) at ``time`` (s); its number.

        None if the last one is too near.
        """
        last = (self._count - 1) % MOMENTS
        if self._count and time - self._times[last] < APART:
            return None
        at = self._count % MOMENTS
        self._times[at], self._states[at], self._sums[at] = time, state.ravel(), 0.0
        self._count += 1
        return self._count - 1

    def learn(self, moment: int, horizon: float, error: Array) -> None:
        """Note that ``horizon`` s after the moment, the organ was ``error`` (6,) mm from where it had been expected."""
        if moment < self._count - MOMENTS or horizon > REACH:
            return
        terms = _terms(horizon)
        sums = terms[:, None] * np.concatenate([terms, error])
        self._sums[moment % MOMENTS] += sums.ravel() / (1.0 + error[:3] @ error[:3] / OUTLIER**2)

    def correction(self, time: float, state: Array) -> Array:
        """Coefficients for `corrected`, from moments like ``state`` (3, 6) at ``time`` (s)."""
        known = min(self._count, MOMENTS)
        states = self._states[:known]
        if known < 2:
            return np.zeros((_TERMS, 6))
        spread = np.sqrt(states.var(axis=0).reshape(3, 6).sum(axis=1) + SMALLEST_SPREAD**2)
        apart = (states - state.ravel()) / np.repeat(np.array(ALIKE) * spread, 6)
        weights = np.exp(-0.5 * np.einsum("ni,ni->n", apart, apart) - (time - self._times[:known]) / LASTS)
        weights[time - self._times[:known] < REACH] = 0.0  # not yet complete, and no independent evidence
        sums = (weights @ self._sums[:known]).reshape(_TERMS, _TERMS + 6)
        return np.linalg.solve(sums[:, :_TERMS] + RIDGE * np.eye(_TERMS), sums[:, _TERMS:])


def corrected(correction: Array, horizon: float) -> Array:
    """The correction (6,) mm of the position expected ``horizon`` s later."""
    return _terms(min(max(horizon, 0.0), REACH)) @ correction


def _terms(horizon: float) -> Array:
    share = horizon / REACH
    return np.array([1.0, share, share * share])
