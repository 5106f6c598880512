"""Motions of an organ that are hard to foresee, and how a registration would measure them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from deeprs2v_ros.geometry import Array, about, from_motion, inverse
from deeprs2v_ros.simulation.breathing import Breathing

CENTRE = np.array([0.0, 70.0, 0.0])
LENGTH = 60.0
"""s of every recording."""
Motion = Callable[[float], Array]
"""Time (s) to C(t), rest_from_displaced (4, 4)."""


@dataclass(frozen=True)
class Condition:
    """What moves and how well it is measured. Noise in mm and degrees; an outlier is 3 to 5 mm off."""

    name: str
    pattern: str = "breathing"
    translation: float = 0.3
    rotation: float = 0.4
    outliers: float = 0.01
    dropouts: float = 0.0
    """Per second; each lasts up to a second."""
    claimed: float = 1.0
    """What the measurements say of their standard deviations, over what they are."""


CONDITIONS = (
    Condition("15 mm, 4 s", pattern="goal", outliers=0.0),
    Condition("breathing"),
    Condition("irregular", pattern="irregular"),
    Condition("long pauses", pattern="pauses"),
    Condition("breath-holds", pattern="holds"),
    Condition("coughs", pattern="coughs"),
    Condition("drift", pattern="drift"),
    Condition("change of pattern", pattern="change"),
    Condition("still", pattern="still"),
    Condition("noise 0.1 mm, 0.1 deg", translation=0.1, rotation=0.1),
    Condition("noise 0.7 mm, 1 deg, 3 % outliers", translation=0.7, rotation=1.0, outliers=0.03),
    Condition("drop-outs", dropouts=0.15),
    Condition("covariance half as wide", claimed=0.5),
    Condition("covariance twice as wide", claimed=2.0),
)


def organ_motion(pattern: str, seed: int) -> Motion:
    """The motion of a pattern, different for each seed."""
    rng = np.random.default_rng([seed, 1])
    mean = Breathing(seed=seed, amplitude_mm=rng.uniform(12.0, 18.0), period_s=rng.uniform(3.4, 4.6), irregularity=0.15)
    if pattern == "goal":
        mean = Breathing(seed=seed)
    if pattern == "still":
        mean = replace(mean, amplitude_mm=0.0)
    if pattern == "irregular":
        mean = replace(mean, irregularity=0.4)
    if pattern == "pauses":
        return _warped(mean, _pauses(mean, rng))
    if pattern == "holds":
        starts = np.cumsum(rng.uniform(8.0, 20.0, size=12))
        return _warped(mean, [(start, rng.uniform(2.0, 8.0)) for start in starts])
    if pattern == "coughs":
        return _coughing(mean, rng)
    if pattern == "drift":
        speed = rng.normal(size=6) * ([0.06] * 3 + [0.0006] * 3)
        return lambda t: inverse(about(CENTRE, from_motion(speed * t)) @ mean.rigid(t))
    if pattern == "change":
        later = replace(mean, amplitude_mm=rng.uniform(6.0, 25.0), period_s=rng.uniform(2.2, 5.5))
        # Both are at rest when a breath starts, so nothing jumps.
        first = int(0.5 * LENGTH / mean.period_s)
        change, start = _start(mean, first), _start(later, first)
        return lambda t: inverse(mean.rigid(t) if t < change else later.rigid(t - change + start))
    return lambda t: inverse(mean.rigid(t))


def _start(breathing: Breathing, breath: int) -> float:
    """When (s) a breath starts: the last time at which the organ is at rest before the breath's own middle."""
    times = np.arange((breath + 0.5) * breathing.period_s, 0.0, -0.005)
    return next((float(time) for time in times if breathing.state(float(time))[0] == 0.0), 0.0)


def _warped(breathing: Breathing, holds: list[tuple[float, float]]) -> Motion:
    """The breathing's own time stands still from the start (s, own time) of each hold for its length (s)."""
    fade = 0.2  # s from moving to still
    grid = np.arange(0.0, LENGTH + 2.0, 0.01)
    own, rate = np.zeros_like(grid), 1.0
    waiting, until = list(holds), -1.0
    for n in range(1, len(grid)):
        if waiting and until < 0.0 and own[n - 1] >= waiting[0][0]:
            until = grid[n] + waiting.pop(0)[1]
        if 0.0 <= until < grid[n]:
            until = -1.0
        rate = float(np.clip(rate + (0.01 / fade) * (-1.0 if until > 0.0 else 1.0), 0.0, 1.0))
        own[n] = own[n - 1] + 0.01 * rate
    return lambda t: inverse(breathing.rigid(float(np.interp(t, grid, own))))


def _pauses(breathing: Breathing, rng: np.random.Generator) -> list[tuple[float, float]]:
    count = int(LENGTH / breathing.period_s)
    return [(_start(breathing, n) - 0.1, rng.uniform(0.5, 4.0)) for n in range(1, count)]


def _coughing(breathing: Breathing, rng: np.random.Generator) -> Motion:
    coughs = []
    start = 0.0
    while (start := start + rng.uniform(5.0, 12.0)) < LENGTH:
        size = rng.uniform(10.0, 20.0) * rng.choice([-1.0, 1.0])
        aim = np.array([0.0, -0.3, -1.0]) + 0.3 * rng.normal(size=3)
        turn = np.radians(rng.normal(size=3))
        motion = size * np.concatenate([aim / np.linalg.norm(aim), 0.1 * turn])
        coughs.append((start, rng.uniform(0.2, 0.4), rng.uniform(0.3, 1.0), motion))

    def motion_at(t: float) -> Array:
        moved = np.zeros(6)
        for start, rise, fall, motion in coughs:
            if start < t < start + rise:
                moved += motion * 0.5 * (1.0 - np.cos(np.pi * (t - start) / rise))
            elif start + rise <= t < start + rise + fall:
                moved += motion * 0.5 * (1.0 + np.cos(np.pi * (t - start - rise) / fall))
        return inverse(about(CENTRE, from_motion(moved)) @ breathing.rigid(t))

    return motion_at


def measurements(
    condition: Condition, motion: Motion, rate: float, seed: int
) -> tuple[Array, list[Array], list[Array]]:
    """Times (s), measured C and their covariances, at ``rate`` per second with 15 % jitter."""
    rng = np.random.default_rng([seed, 2])
    times = np.arange(0.0, LENGTH, 1.0 / rate)
    times = times + rng.uniform(0.0, 0.3 / rate, size=times.shape)
    keep = np.ones(len(times), dtype=bool)
    for start in np.flatnonzero(rng.uniform(size=len(times)) < condition.dropouts / rate):
        keep &= (times < times[start]) | (times > times[start] + rng.uniform(0.2, 1.0))
    times = times[keep]
    sigma = np.array([condition.translation] * 3 + [np.radians(condition.rotation)] * 3)
    measured, covariances = [], []
    for time in times:
        size = sigma * rng.uniform(0.7, 1.3, size=6)  # images differ
        error = rng.normal(size=6) * size
        if rng.uniform() < condition.outliers:
            aim = rng.normal(size=3)
            error[:3] += rng.uniform(3.0, 5.0) * aim / np.linalg.norm(aim)
        measured.append(about(CENTRE, from_motion(error)) @ motion(float(time)))
        covariances.append(np.diag((condition.claimed * size) ** 2))
    return times, measured, covariances
