"""The time offset between images and encoders: images stamped t show what was there at t - offset.

For a candidate offset the arm's path predicts what every pair of frames should show. Shifts in the plane should be the
predicted ones times a gain from 0 to 1, plus a drift; the logarithm of the decorrelation should be a quadratic in that
of the distance between the planes, at each depth. Each of these channels c leaves a variance v_c of the residuals, and
the offset maximises the Gaussian likelihood with unknown variances, -1/2 sum_c log v_c: what an image shows badly, as
tissue that moves by itself, hardly counts. Its uncertainty comes from a bootstrap over blocks of time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.imaging.motion import ImageMotion, lever

FEWEST_FRAMES = 30
MOST_UNCERTAIN = 0.3
"""Of the longest offset: standard deviation above which the offset is not determined; that of a blind guess is 0.58."""
STEP = 0.01  # s between candidates
_SHORTEST = 2.5  # s
_STILL = 2.0  # mm that the plane has to move at least
_BLOCK = 1.0  # s: a heartbeat, and longer than what makes neighbouring pairs err alike
_RESAMPLES = 200
_THINNEST = 0.15  # mm: distances below it decorrelate no less
_DECORRELATED = 0.9  # -log of the correlation from which on it says nothing any more
_OUTLIER = 2.0  # standard deviations at which a residual counts half in the second round
_OVERLAP = 0.5  # of the pairs that a candidate has to find poses for
_GAINS = (0.0, 1.0)


@dataclass(frozen=True)
class TimeOffset:
    """``offset`` and its standard deviation ``sd`` in s, and the likelihood (K,) at each of ``candidates`` (K,)."""

    offset: float
    sd: float
    candidates: Array
    likelihood: Array


class Path:
    """Rigid poses (N, 4, 4) at ``times`` (N,) s that grow, joined by cubic splines of position and of rotation.

    Raises InputError for fewer than two poses and times that do not grow.
    """

    def __init__(self, times: Array, poses: Array) -> None:
        if len(times) < 2 or not (np.diff(times) > 0.0).all():
            raise InputError("time stamps: have to be two or more, and to grow")
        self.start, self.end = float(times[0]), float(times[-1])
        self._position = CubicSpline(times, poses[:, :3, 3])
        self._rotation = RotationSpline(times, Rotation.from_matrix(poses[:, :3, :3]))

    def __call__(self, times: Array) -> Array:
        """Poses (M, 4, 4) at ``times`` (M,); those outside are clamped to the ends."""
        times = np.clip(times, self.start, self.end)
        poses = np.tile(np.eye(4), (len(times), 1, 1))
        poses[:, :3, 3], poses[:, :3, :3] = self._position(times), self._rotation(times).as_matrix()
        return poses


def predicted(motion: ImageMotion, first_from_second: Array) -> tuple[Array, Array]:
    """What images should show of planes that moved by (M, 4, 4): `ImageMotion.shift` and the distance across the plane.

    The shift is (M, 3) mm, as tissue goes the other way; the distance (M, B) mm, RMS in each band.
    """
    away = motion.points - motion.points.mean(axis=0)
    moved = motion.points - _mapped(first_from_second, motion.points)
    turn = (moved[..., 1] * away[:, 0] - moved[..., 0] * away[:, 1]).mean(axis=1) / lever(motion.points)
    across = moved[..., 2] ** 2
    distance = np.sqrt(np.stack([across[:, band].mean(axis=1) for band in motion.bands], axis=1))
    return np.column_stack([moved[..., :2].mean(axis=1), turn]), distance


def estimate_offset(motion: ImageMotion, times: Array, pose_times: Array, poses: Array, longest: float) -> TimeOffset:
    """The offset within +-``longest`` s between images stamped ``times`` (N,) and poses (Q, 4, 4), world_from_image.

    Raises InputError for too few frames, poses without motion, and motion that does not determine the offset.
    """
    if len(times) < FEWEST_FRAMES:
        raise InputError(f"has {len(times)} usable frames; at least {FEWEST_FRAMES} are needed")
    if times[-1] - times[0] < _SHORTEST:
        raise InputError(f"lasts {times[-1] - times[0]:.1f} s; at least {_SHORTEST:g} s are needed")
    if np.ptp(_mapped(poses, motion.points), axis=0).max() < _STILL:
        raise InputError(f"the probe moves by less than {_STILL:g} mm: no motion to compare")
    candidates = STEP * np.arange(-round(longest / STEP), round(longest / STEP) + 1)
    sums = _evidence(motion, times, Path(pose_times, poses), candidates)
    likelihood = _likelihood([each.sum(axis=1) for each in sums])
    best = _best(candidates, likelihood)
    # Poses may be too sparse for how the hand trembles: what every second one says shows how much that matters.
    halves = [_evidence(motion, times, Path(pose_times[k::2], poses[k::2]), candidates) for k in (0, 1)]
    from_halves = [_best(candidates, _likelihood([each.sum(axis=1) for each in half])) for half in halves]
    sd = float(np.hypot(_bootstrap(sums, candidates), np.sqrt(np.mean((np.array(from_halves) - best) ** 2))))
    if sd > MOST_UNCERTAIN * longest or not candidates[0] < best < candidates[-1]:
        raise InputError("the motion is too even, or the images show too little of it: the offset is not determined")
    return TimeOffset(best, sd, candidates, likelihood)


def _evidence(motion: ImageMotion, times: Array, path: Path, candidates: Array) -> list[Array]:
    """For each channel, `_sums` after outliers about the best candidate have lost their weight."""
    relative, inside = [], []
    for offset in candidates:
        shown = times - offset
        at = path(shown)
        relative.append(inverse(at[motion.pairs[:, 0]]) @ at[motion.pairs[:, 1]])
        inside.append(((shown >= path.start) & (shown <= path.end))[motion.pairs].all(axis=1))
    usable = np.array(inside, dtype=float)
    usable[usable.mean(axis=1) < _OVERLAP] = 0.0
    if np.count_nonzero(usable.any(axis=1)) < 3:
        raise InputError("images and poses hardly overlap in time")
    channels = [each for each in _channels(motion, times, relative) if np.count_nonzero(each.weight) >= FEWEST_FRAMES]
    begin = times[motion.pairs].mean(axis=1)
    blocks = ((begin - begin.min()) / _BLOCK).astype(int)
    likelihood = _likelihood([_sums(channel, usable, blocks).sum(axis=1) for channel in channels])
    first = int(np.argmax(likelihood))
    for channel in channels:  # outliers count less in a second round
        residuals = channel.residuals(first, usable[first])
        scale = 1.4826 * np.median(np.abs(residuals[channel.weight > 0.0])) + 1e-9
        channel.weight /= 1.0 + (residuals / (_OUTLIER * scale)) ** 2
    return [_sums(channel, usable, blocks) for channel in channels]


def _bootstrap(sums: list[Array], candidates: Array) -> float:
    """Standard deviation (s) of the best candidate when blocks of time are drawn with replacement.

    Few blocks know their own spread badly: it is enlarged as that of Student's t with as many degrees of freedom.
    """
    rng = np.random.default_rng(0)
    count = sums[0].shape[1]
    draws = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(_RESAMPLES)]
    offsets = [_best(candidates, _likelihood([np.einsum("kbij,b->kij", s, d) for s in sums])) for d in draws]
    low, high = np.quantile(offsets, [0.1587, 0.8413])
    return float((high - low) / 2.0 * np.sqrt(count / max(count - 2.0, 1.0)))


@dataclass
class _Channel:
    """One thing that images measure, ``measured`` (M,), ``basis`` (K, M, T) by candidate, and ``weight`` (M,)."""

    measured: Array
    basis: Array
    weight: Array
    bounded: bool

    def residuals(self, candidate: int, usable: Array) -> Array:
        moments = _moments(self, candidate, self.weight * usable)
        return self.measured - self.basis[candidate] @ _solve(moments[None], self.bounded)[0]


def _channels(motion: ImageMotion, times: Array, relative: list[Array]) -> list[_Channel]:
    duration = np.diff(times[motion.pairs], axis=1)[:, 0]
    shifts, distances = (np.array(each) for each in zip(*(predicted(motion, each) for each in relative), strict=True))
    channels = []
    for axis in range(3):
        drift = np.broadcast_to(duration, shifts.shape[:2])
        basis = np.stack([drift, shifts[..., axis]], axis=-1)
        channels.append(_Channel(motion.shift[:, axis], basis, motion.weight.copy(), True))
    for band in range(len(motion.bands)):
        known = motion.decorrelation[:, band]
        logarithm = np.log(np.hypot(distances[..., band], _THINNEST))
        basis = np.stack([np.ones_like(logarithm), logarithm, logarithm**2], axis=-1)
        channels.append(_Channel(np.log(known), basis, (known < _DECORRELATED).astype(float), False))
    return channels


def _moments(channel: _Channel, candidate: int, weight: Array) -> Array:
    """Weighted sums of products of the basis, the measurement and, last, of 1: (T + 2, T + 2)."""
    terms = np.column_stack([channel.basis[candidate], channel.measured])
    result = np.zeros((terms.shape[1] + 1,) * 2)
    result[:-1, :-1] = (terms * weight[:, None]).T @ terms
    result[-1, -1] = weight.sum()
    return result


def _sums(channel: _Channel, usable: Array, blocks: NDArray[np.int64]) -> Array:
    """Moments (K, blocks, T + 2, T + 2) over the pairs of each block: all that the likelihood needs."""
    members = [np.flatnonzero(blocks == block) for block in range(blocks.max() + 1)]
    result = []
    for candidate, inside in enumerate(usable):
        weight = channel.weight * inside
        terms = np.column_stack([channel.basis[candidate], channel.measured])
        table = np.zeros((len(members), terms.shape[1] + 1, terms.shape[1] + 1))
        for row, chosen in zip(table, members, strict=True):
            row[:-1, :-1] = (terms[chosen] * weight[chosen, None]).T @ terms[chosen]
            row[-1, -1] = weight[chosen].sum()
        result.append(table)
    return np.array(result)


def _solve(moments: Array, bounded: bool) -> Array:
    """Least squares from moments (K, ...); of ``bounded`` ones the second coefficient, the gain, stays in bounds."""
    normal, right = moments[:, :-2, :-2], moments[:, :-2, -2]
    ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(normal.shape[1])
    found = np.linalg.solve(normal + ridge + 1e-12 * np.eye(normal.shape[1]), right[..., None])[..., 0]
    if bounded:
        found[:, 1] = np.clip(found[:, 1], *_GAINS)
        found[:, 0] = (right[:, 0] - found[:, 1] * normal[:, 0, 1]) / np.maximum(normal[:, 0, 0], 1e-12)
    return found


def _likelihood(sums: list[Array]) -> Array:
    """The sum over channels of -1/2 log of the residuals' variance, (K,)."""
    total = 0.0
    for index, moments in enumerate(sums):
        found = _solve(moments, index < 3)
        squares = moments[:, -2, -2] - 2.0 * np.einsum("ki,ki->k", found, moments[:, :-2, -2])
        squares += np.einsum("ki,kij,kj->k", found, moments[:, :-2, :-2], found)
        weight = moments[:, -1, -1]
        variance = np.maximum(squares, 1e-12) / np.maximum(weight, 1e-12)
        total = total - 0.5 * np.log(np.where(weight > 0.0, variance, np.inf))
    return total


def _best(candidates: Array, likelihood: Array) -> float:
    """The maximum, of a parabola through the best candidate and its neighbours."""
    best = int(np.argmax(likelihood))
    if best in (0, len(candidates) - 1):
        return float(candidates[best])
    before, here, after = likelihood[best - 1 : best + 2]
    return float(candidates[best] + STEP * 0.5 * (before - after) / (before - 2.0 * here + after))


def _mapped(transforms: Array, points: Array) -> Array:
    """``points`` (P, 3) by every one of ``transforms`` (M, 4, 4): (M, P, 3)."""
    return points @ np.swapaxes(transforms[:, :3, :3], 1, 2) + transforms[:, None, :3, 3]
