"""How breathing moves the liver: a rigid motion and a smaller, smooth deformation, as pure functions of time.

The volume frame is the patient's: x to the left, y to the back, z to the head. At end-expiration, the state in which
the volume was acquired, nothing is displaced. Breathing in moves the liver to the feet and, less, forwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, about, apply, from_motion, inverse
from deeprs2v_ros.simulation.hashing import uniform
from deeprs2v_ros.simulation.turns import sine_of_turns

_INHALE, _EXHALE = 0.38, 0.50  # shares of a breath; what is left is the pause at end-expiration
_WAVES = 3
_INVERSE_STEPS = 12


@njit(nogil=True, cache=True)
def deformation(x: float, y: float, z: float, waves: Array) -> tuple[float, float, float]:
    """Displacement (mm) at one point: a sum of plane waves, rows (kx, ky, kz, phase, ax, ay, az) of ``waves``.

    The wave vector is in turns per mm, the phase in turns, the amplitude in mm.
    """
    ux = uy = uz = 0.0
    for n in range(waves.shape[0]):
        wave = sine_of_turns(waves[n, 0] * x + waves[n, 1] * y + waves[n, 2] * z + waves[n, 3])
        ux += waves[n, 4] * wave
        uy += waves[n, 5] * wave
        uz += waves[n, 6] * wave
    return ux, uy, uz


@dataclass(frozen=True)
class Breathing:
    """The motion of the liver's tissue. A tissue point at y in the acquired volume is at ``displace(y, t)`` at time t.

    ``D(t)(y) = rigid(t) (y + u(y, t))``: `rigid` is displaced_from_rest, and u a deformation whose size is
    ``nonrigid_mm`` (RMS) at full inspiration. ``amplitude_mm`` is the mean head-to-foot travel and ``period_s`` the
    mean length of a breath; single breaths differ by up to ``irregularity`` of either, drawn from their index, so any
    time can be asked for in any order. ``centre`` (3,) mm is the point that the rotation turns about.

    Raises InputError for a period that is not positive, a negative size or an irregularity outside [0, 0.5].
    """

    seed: int = 0
    amplitude_mm: float = 15.0
    period_s: float = 4.0
    nonrigid_mm: float = 1.0
    irregularity: float = 0.15
    centre: tuple[float, float, float] = (0.0, 70.0, 0.0)

    def __post_init__(self) -> None:
        if not self.period_s > 0.0:
            raise InputError(f"breathing: period_s must be positive, not {self.period_s}")
        for name in ("amplitude_mm", "nonrigid_mm"):
            if not getattr(self, name) >= 0.0:
                raise InputError(f"breathing: {name} must not be negative, but is {getattr(self, name)}")
        if not 0.0 <= self.irregularity <= 0.5:
            raise InputError(f"breathing: irregularity must be between 0 and 0.5, not {self.irregularity}")

    def _start(self, breath: int) -> float:
        return self.period_s * (breath + self.irregularity * (uniform(self.seed, breath, 0) - 0.5))

    def state(self, t: float) -> tuple[float, float]:
        """Depth of inspiration at time ``t`` (s), 0 to about 1, and the loop term, positive in, negative out.

        Both are twice continuously differentiable and zero at end-expiration; the loop term is what makes the way
        back differ from the way there (hysteresis).
        """
        breath = math.floor(t / self.period_s)
        breath += int(t >= self._start(breath + 1)) - int(t < self._start(breath))
        start, end = self._start(breath), self._start(breath + 1)
        share = (t - start) / (end - start)
        inhaling = share < _INHALE
        s = _smooth_step(share / _INHALE) if inhaling else 1.0 - _smooth_step((share - _INHALE) / _EXHALE)
        size = 1.0 + self.irregularity * (2.0 * uniform(self.seed, breath, 1) - 1.0)
        loop = size * s * (1.0 - s)
        return size * s, loop if inhaling else -loop

    def rigid(self, t: float) -> Array:
        """displaced_from_rest (4, 4): the rigid part of the motion at time ``t`` (s), volume frame, mm."""
        depth, loop = self.state(t)
        travel = self.amplitude_mm * np.array(
            [0.06 * depth - 0.10 * loop, -0.28 * depth - 0.35 * loop, -depth],
        )
        turn = np.radians(self.amplitude_mm * np.array([0.15 * depth + 0.15 * loop, 0.05 * depth, -0.07 * depth]))
        return about(self.centre, from_motion(np.concatenate([travel, turn])))

    @cached_property
    def _full_waves(self) -> Array:
        rng = np.random.default_rng(self.seed)
        direction = rng.normal(size=(_WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        wave_vector = direction / rng.uniform(120.0, 220.0, size=(_WAVES, 1))
        amplitude = rng.normal(size=(_WAVES, 3))
        amplitude *= math.sqrt(2.0) / np.linalg.norm(amplitude)
        return np.hstack([wave_vector, rng.uniform(size=(_WAVES, 1)), amplitude])

    def waves(self, t: float) -> Array:
        """The deformation u at time ``t`` as rows for `deformation`, shape (waves, 7)."""
        waves = self._full_waves.copy()
        waves[:, 4:] *= self.nonrigid_mm * self.state(t)[0]
        return waves

    def displace(self, points: ArrayLike, t: float) -> Array:
        """Where the tissue points (..., 3) of the acquired volume are at time ``t``: D(t), volume frame, mm."""
        points = np.asarray(points, dtype=float)
        return apply(self.rigid(t), points + _deform(points, self.waves(t)))

    def rest(self, points: ArrayLike, t: float) -> Array:
        """Which tissue, named by its place in the acquired volume, is at ``points`` (..., 3) at time ``t``: D(t)^-1."""
        undone = apply(inverse(self.rigid(t)), points)
        waves, at_rest = self.waves(t), undone
        for _ in range(_INVERSE_STEPS):  # a contraction: the strain is about a tenth
            at_rest = undone - _deform(at_rest, waves)
        return at_rest

    def correction(self, points: ArrayLike, t: float) -> Array:
        """The true C (4, 4) near ``points`` (N, 3), which show the displaced tissue at time ``t``.

        It is the rigid motion, displaced to rest, that fits D(t)^-1 on these points best (least squares).
        """
        return fit_rigid(points, self.rest(points, t))


def fit_rigid(source: ArrayLike, target: ArrayLike) -> Array:
    """The rigid target_from_source (4, 4) with the least squared distance between matched points (N, 3).

    Raises InputError for fewer than three points (Kabsch, Acta Crystallographica A32, 1976).
    """
    source, target = np.asarray(source, dtype=float), np.asarray(target, dtype=float)
    if source.shape != target.shape or len(source) < 3:
        raise InputError(f"rigid fit: needs three or more matched points, not {source.shape} and {target.shape}")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - target_mean).T @ (source - source_mean))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    fitted = np.eye(4)
    fitted[:3, :3] = rotation
    fitted[:3, 3] = target_mean - rotation @ source_mean
    return fitted


def _smooth_step(x: float) -> float:
    """From 0 at x <= 0 to 1 at x >= 1 with zero first and second derivative at both ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


def _deform(points: Array, waves: Array) -> Array:
    return np.sin(2.0 * math.pi * (points @ waves[:, :3].T + waves[:, 3])) @ waves[:, 4:]
