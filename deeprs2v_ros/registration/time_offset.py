"""The time offset between images and arm: an image stamped t shows what was there at t - offset.

Registration to the volume says where the plane of every image was, whatever the arm says: Y_i of the image stamped t_i.
The arm's path X(t) says where it was at every time. With the organ still, in a breath-hold, the two are apart by one
constant motion C (the organ's, and all that the arm is off by), and by the offset d:

    Y_i = C X(t_i - d)

d and C are found by robust least squares. Registration knows some directions ten times better than others, so each of
the six is weighted by how much it scatters. The standard deviation of d comes from a bootstrap over blocks of time,
since neighbouring images err alike. Even motion cannot tell d from C, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation, RotationSpline

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, about, apply, from_motion, inverse
from deeprs2v_ros.registration.correction import LEVER

FEWEST = 20
"""The least number of registered images."""
MOST_UNCERTAIN = 0.02
"""s: standard deviation above which the offset is not determined."""
STEP = 0.02
"""s between the offsets that are tried at first."""
EXPECTED = 0.5
"""mm by which residuals are expected to scatter, until it is known how much they do."""
SMALLEST = 0.01
"""mm: the least scatter that is assumed in any direction."""
BLOCK = 1.0
"""s: a heartbeat, and longer than what makes neighbouring images err alike."""
_RESAMPLES = 500
_STARTS = 3
_ROUNDS = 3


@dataclass(frozen=True)
class TimeOffset:
    """``offset`` and its standard deviation ``sd`` in s; ``motion`` (4, 4) mm is C; ``count`` images were used.

    ``residual`` is the median of what is left, mm, with rotations at the lever of the correction.
    ``tried`` (K,) s and ``misfit`` (K,) are the offsets tried at first and the mean misfit of each, a robust square.
    """

    offset: float
    sd: float
    motion: Array
    count: int
    residual: float
    tried: Array
    misfit: Array


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

    def covers(self, times: Array) -> Array:
        """Whether (M,) there are poses around ``times`` (M,)."""
        return (times >= self.start) & (times <= self.end)


def estimate_offset(times: Array, registered: Array, path: Path, centre: Array, longest: float) -> TimeOffset:
    """The offset within +-``longest`` s of images stamped ``times`` (N,) with ``registered`` poses (N, 4, 4).

    Poses are volume_from_image, those of the ``path`` too; ``centre`` (3,) is the image centre in the image, mm.
    Raises InputError for too few images, and for motion that does not determine the offset.
    """
    if len(times) < FEWEST:
        raise InputError(f"only {len(times)} images could be registered; at least {FEWEST} are needed")
    middle = apply(registered[len(registered) // 2], centre)

    def residuals(unknowns: Array, scatter: Array) -> Array:
        """(N, 6) of what is left with the offset and C, a motion about the middle of the path; 0 where no pose is."""
        shown = times - unknowns[0]
        left = inverse(registered) @ _motion(unknowns, middle) @ path(shown)
        turned = Rotation.from_matrix(left[:, :3, :3])
        moved = left[:, :3, 3] + turned.apply(centre) - centre
        return np.hstack([moved, LEVER * turned.as_rotvec()]) / scatter * path.covers(shown)[:, None]

    def misfit(unknowns: Array, scatter: Array) -> float:
        used = path.covers(times - unknowns[0])
        return float(np.mean(2.0 * (np.sqrt(1.0 + residuals(unknowns, scatter)[used] ** 2) - 1.0)))

    def descend(start: Array, scatter: Array, steps: int, held: int = 0) -> Array:
        """The unknowns (7,) best around ``start``; the first ``held`` of them stay."""
        found = least_squares(
            lambda free: residuals(np.concatenate([start[:held], free]), scatter).ravel(),
            start[held:],
            loss="soft_l1",
            x_scale=np.array([0.1, *[1.0] * 6])[held:],
            bounds=(-reach[held:], reach[held:]),
            max_nfev=steps,
        )
        return np.concatenate([start[:held], found.x])

    reach = np.array([longest, *[np.inf] * 6])
    tried = STEP * np.arange(1 - round(longest / STEP), round(longest / STEP))
    tried = tried[[np.count_nonzero(path.covers(times - offset)) >= FEWEST for offset in tried]]
    if len(tried) < 3:
        raise InputError("images and poses hardly overlap in time")
    scatter = np.full(6, EXPECTED)
    coarse = [descend(np.array([offset, *[0.0] * 6]), scatter, 4, held=1) for offset in tried]
    misfits = np.array([misfit(each, scatter) for each in coarse])
    best = min(
        (descend(coarse[k], scatter, 50) for k in np.argsort(misfits)[:_STARTS]), key=lambda u: misfit(u, scatter)
    )
    for _ in range(_ROUNDS):
        used = path.covers(times - best[0])
        left = residuals(best, np.ones(6))[used]
        scatter = np.maximum(1.4826 * np.median(np.abs(left), axis=0), SMALLEST)
        best = descend(best, scatter, 50)
    used = path.covers(times - best[0])
    sd = _bootstrap(lambda unknowns: residuals(unknowns, scatter), best, times, used)
    if not sd <= MOST_UNCERTAIN or abs(best[0]) > longest - STEP:
        raise InputError("the probe moves too evenly or too little: the offset is not determined")
    left = np.median(np.linalg.norm(residuals(best, np.ones(6))[used], axis=1))
    return TimeOffset(float(best[0]), sd, _motion(best, middle), int(used.sum()), float(left), tried, misfits)


_SCALE = np.array([1.0, 1.0, 1.0, LEVER, LEVER, LEVER])


def _motion(unknowns: Array, middle: Array) -> Array:
    return about(middle, from_motion(unknowns[1:] / _SCALE))


def _bootstrap(residuals, best: Array, times: Array, used: Array) -> float:  # noqa: ANN001 (a function)
    """Standard deviation (s) of the offset when blocks of time are drawn with replacement, to first order.

    Few blocks know their own spread badly: it is enlarged as that of Student's t with as many degrees of freedom, and
    never less than what least squares says of independent errors.
    """
    steps = np.diag([1e-3, *[1e-3] * 6])
    derivative = np.stack([(residuals(best + s) - residuals(best - s)) / 2e-3 for s in steps], axis=2)
    left = residuals(best)
    weight = used[:, None] / np.sqrt(1.0 + left**2)
    normal = np.einsum("ni,nij,nik->njk", weight, derivative, derivative)
    right = np.einsum("ni,nij,ni->nj", weight, derivative, left)
    independent = np.sum(weight * left**2) / max(6.0 * used.sum() - 7.0, 1.0)
    blocks = ((times - times.min()) / BLOCK).astype(int)
    count = blocks.max() + 1
    normal, right = (np.array([each[blocks == b].sum(axis=0) for b in range(count)]) for each in (normal, right))
    if count < 3 or np.linalg.cond(normal.sum(axis=0)) > 1e14:
        return np.inf
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1.0 / count), _RESAMPLES)
    ridge = 1e-9 * np.diag(np.diag(normal.sum(axis=0)))
    drawn_normal, drawn_right = np.tensordot(draws, normal, 1) + ridge, np.tensordot(draws, right, 1)
    offsets = -np.linalg.solve(drawn_normal, drawn_right[..., None])[:, 0, 0]
    classical = np.sqrt(independent * np.linalg.inv(normal.sum(axis=0) + ridge)[0, 0])
    return float(max(np.std(offsets) * np.sqrt(count / (count - 2.0)), classical))
