"""The correction: LNCC between the frame and the slice of the volume, maximised over the pose.

    d* = argmax_d LNCC( R[volume, volume_from_image . d], frame ) - what d costs by the beliefs      (equation 1)

d is a motion in image axes about the image centre. The gradient of LNCC is exact; its second derivative is the
Gauss-Newton one, J^T K J with the slice's derivative J by the six motion parameters and LNCC's curvature K. Damped
steps (Levenberg-Marquardt) are taken only when they help. Rotations are measured in millimetres at a lever of `LEVER`
mm, so that one damping serves all six parameters.

A whole climb is compiled, and needs no lock of the interpreter: climbs from several starts run side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.imaging.slicing import interpolate_plane
from deeprs2v_ros.registration.belief import TAIL, Belief
from deeprs2v_ros.registration.pyramid import Level
from deeprs2v_ros.similarity import lncc_with_derivatives

LEVER = 50.0
"""mm: the typical distance of a pixel from the image centre; there, one radian is LEVER millimetres."""

SCALE = np.array([1.0, 1.0, 1.0, 1.0 / LEVER, 1.0 / LEVER, 1.0 / LEVER])

CONVERGED = 0.02
"""A step shorter than this share of the level's spacing is the last."""

FARTHEST = 4.0
"""Level spacings: no step is longer."""

WEAKEST, STRONGEST = 1e-4, 1e2
"""Bounds of the damping, as a share of the mean curvature."""

WORKERS = ThreadPoolExecutor(2, thread_name_prefix="climb")
"""Evaluations and climbs of several poses side by side: what is compiled here holds no lock."""


class Evaluation(NamedTuple):
    """LNCC at a ``pose`` (volume_from_image), and what a step needs.

    ``gradient`` (6,) and ``curvature`` (6, 6) of the score are taken by the motion (mm, rad). ``overlap`` is the share
    of the frame's valid area that the volume covers. ``score`` is what poses are compared by: LNCC times the root of
    the overlap, less the cost of the distance from what is believed. A correlation r of n points is worth r sqrt(n)
    (Fisher): by LNCC alone, sliding the frame out of the volume until only its best corner is left would be a success,
    and with more weight on the overlap the plane would tilt into the volume.
    """

    pose: Array
    lncc: float
    overlap: float
    score: float
    gradient: Array
    curvature: Array


class Task(NamedTuple):
    """A frame on a level, for the compiled functions; x (columns,) and y (rows,) are mm from the image centre.

    ``image_from_believed`` (n, 4, 4) are the inverses of the believed poses, ``precision`` (n, 6, 6) those of the
    covariances of a motion from them, ``weight`` what they count against LNCC; see `belief`.
    """

    volume: NDArray[np.float32]
    voxel_from_volume: Array
    image_from_lattice: Array
    mask: NDArray[np.bool_]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    centre: Array
    window: int
    spacing: float
    frame: NDArray[np.float32]
    image_from_believed: Array
    precision: Array
    weight: float


def on_level(
    level: Level,
    frame: NDArray[np.float32],
    visible: NDArray[np.bool_],
    centre: Array,
    beliefs: Sequence[Belief],
    weight: float,
) -> Task:
    """Put ``frame``, on the lattice of ``level``, to the task; ``centre`` (3,) is the image centre in the image, mm.

    Only where it is ``visible`` is it compared. ``weight`` is that of the ``beliefs`` for each mm between points.
    """
    return Task(
        level.volume.array,
        level.volume.voxel_from_volume,
        level.lattice.image_from_lattice,
        visible,
        level.lattice.x - np.float32(centre[0]),
        level.lattice.y - np.float32(centre[1]),
        centre,
        level.window,
        level.spacing,
        frame,
        np.stack([inverse(belief.pose) for belief in beliefs]),
        np.stack([np.linalg.inv(belief.scale) for belief in beliefs]),
        weight * level.spacing,
    )


@numba.njit(cache=True, nogil=True)
def compare(task, pose):  # noqa: ANN001, ANN201 (compiled)
    """Slice at ``pose`` (4x4 mm) and compare with the frame of a `Task`.

    Returns LNCC, its gradient and curvature by each pixel of the slice, and the gradient and the mask of the slice.
    """
    voxel_from_image = task.voxel_from_volume @ pose
    values, gradient, mask = interpolate_plane(
        task.volume, voxel_from_image @ task.image_from_lattice, voxel_from_image[:3, :3], task.mask
    )
    lncc, by_pixel, by_pixel_twice = lncc_with_derivatives(task.frame, values, mask, task.window)
    return lncc, by_pixel, by_pixel_twice, gradient, mask


@numba.njit(cache=True, nogil=True)
def evaluate(task, pose):  # noqa: ANN001, ANN201 (compiled)
    """The `Evaluation` of a ``pose`` (4x4 mm) for the frame of a `Task`."""
    lncc, by_pixel, by_pixel_twice, gradient, mask = compare(task, pose)
    first, second = normal_equations(gradient, by_pixel, by_pixel_twice, mask, task.x, task.y)
    overlap = mask.sum() / max(task.mask.sum(), 1)
    score = lncc * np.sqrt(overlap)
    for index in range(task.precision.shape[0]):
        precision = task.precision[index]
        motion = _motion_from_belief(task.image_from_believed[index], task.centre, pose)
        slope = precision @ motion
        squared = np.sum(motion * slope)
        score -= 0.5 * task.weight * TAIL * np.log1p(squared / TAIL)
        pull = task.weight * TAIL / (TAIL + squared)
        first -= pull * slope
        second += pull * precision
    return Evaluation(pose, lncc, overlap, score, first, second)


@numba.njit(cache=True, nogil=True)
def correct(task, start, iterations):  # noqa: ANN001, ANN201 (compiled)
    """Climb from the pose ``start``; returns the best `Evaluation` and how many poses were tried.

    Stops after ``iterations`` poses, when a step is a small share of the level's spacing, when damping has grown so
    far that no step of use remains, or when the frame has nothing in common with the volume.
    """
    best = evaluate(task, start)
    damping, tried = 1e-2, 1
    while tried < iterations and damping <= STRONGEST and best.curvature.any():
        curvature = np.outer(SCALE, SCALE) * best.curvature
        ridge = damping * np.trace(curvature) / 6.0
        step = np.linalg.solve(curvature + ridge * np.eye(6), SCALE * best.gradient)
        length = np.sqrt(np.sum(step**2))
        if length < CONVERGED * task.spacing:
            break
        step *= SCALE * min(1.0, FARTHEST * task.spacing / length)
        trial = evaluate(task, best.pose @ _motion_about(task.centre, step))
        tried += 1
        if trial.score > best.score:
            best, damping = trial, max(damping / 5.0, WEAKEST)
        else:
            damping *= 5.0
    return best, tried


@numba.njit(cache=True, nogil=True)
def _motion_from_belief(image_from_believed, centre, pose):  # noqa: ANN001, ANN202 (compiled)
    """``to_motion(about(-centre, image_from_believed pose))`` of `geometry`, compiled, for less than half a turn."""
    relative = image_from_believed @ pose
    motion = np.empty(6)
    motion[:3] = relative[:3, 3] + np.ascontiguousarray(relative[:3, :3]) @ centre - centre
    motion[3] = 0.5 * (relative[2, 1] - relative[1, 2])
    motion[4] = 0.5 * (relative[0, 2] - relative[2, 0])
    motion[5] = 0.5 * (relative[1, 0] - relative[0, 1])
    sine = np.sqrt(np.sum(motion[3:] ** 2))
    angle = np.arctan2(sine, 0.5 * (relative[0, 0] + relative[1, 1] + relative[2, 2] - 1.0))
    if sine > 1e-9:
        motion[3:] *= angle / sine
    return motion


@numba.njit(cache=True, nogil=True)
def _motion_about(centre, motion):  # noqa: ANN001, ANN202 (compiled)
    """``about(centre, from_motion(motion))`` of `geometry`, compiled (Rodrigues' formula)."""
    angle = np.sqrt(np.sum(motion[3:] ** 2))
    x, y, z = motion[3:] / max(angle, 1e-300)
    across = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation = np.eye(3) + np.sin(angle) * across + (1.0 - np.cos(angle)) * (across @ across)
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = motion[:3] + centre - rotation @ centre
    return transform


@numba.njit(cache=True, nogil=True)
def normal_equations(gradient, by_pixel, curvature, mask, x, y):  # noqa: ANN001, ANN201 (compiled)
    """Sums over the mask of J^T by_pixel (6,) and J^T curvature J (6, 6), with J the slice's change by the motion.

    A point (x, y, 0) moves by t + w x (x, y, 0).
    """
    first, second = np.zeros(6), np.zeros((6, 6))
    jacobian = np.zeros(6)
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if not mask[row, column]:
                continue
            gx, gy, gz = gradient[0, row, column], gradient[1, row, column], gradient[2, row, column]
            jacobian[0], jacobian[1], jacobian[2] = gx, gy, gz
            jacobian[3], jacobian[4] = gz * y[row], -gz * x[column]
            jacobian[5] = gy * x[column] - gx * y[row]
            for i in range(6):
                first[i] += jacobian[i] * by_pixel[row, column]
                weighted = jacobian[i] * curvature[row, column]
                for j in range(i + 1):
                    second[i, j] += weighted * jacobian[j]
    for i in range(6):
        for j in range(i):
            second[j, i] = second[i, j]
    return first, second
