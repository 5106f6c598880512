"""The correction: LNCC between the frame and the slice of the volume, maximised over the pose.

    d* = argmax_d LNCC( R[volume, volume_from_image . d], frame ) - what d costs by the beliefs      (equation 1)

d is a motion in image axes about the image centre. The gradient of LNCC is exact; its second derivative is the
Gauss-Newton one, J^T K J with the slice's derivative J by the six motion parameters and LNCC's curvature K. Damped
steps (Levenberg-Marquardt) are taken only when they help. Rotations are measured in millimetres at a lever of `LEVER`
mm, so that one damping serves all six parameters.

A whole climb is compiled and does not hold the interpreter's lock, so climbs from several starts run side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.imaging.packing import PackedVolume
from deeprs2v_ros.registration.belief import TAIL, Belief
from deeprs2v_ros.registration.cells import Cells, in_cells
from deeprs2v_ros.registration.kernel import compare, curvature, slope, workspace
from deeprs2v_ros.registration.pyramid import Level

LEVER = 50.0
"""mm: the typical distance of a pixel from the image centre; there, one radian is LEVER millimetres."""

SCALE = np.array([1.0, 1.0, 1.0, 1.0 / LEVER, 1.0 / LEVER, 1.0 / LEVER])

CONVERGED = 0.02
"""A climb ends with a step shorter than this share of the level's spacing."""

FARTHEST = 4.0
"""The longest step, in spacings of the level."""

WEAKEST, STRONGEST = 1e-4, 1e2
"""Bounds of the damping, as a share of the mean curvature."""

WORKERS = ThreadPoolExecutor(2, thread_name_prefix="climb")
"""Threads for evaluations and climbs of several poses side by side: what is compiled here holds no lock."""


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
    """A frame on a level, for the compiled functions; ``centre`` (3,) is the image centre in the image, mm.

    ``image_from_believed`` (n, 4, 4) are the inverses of the believed poses, ``precision`` (n, 6, 6) those of the
    covariances of a motion from them, ``weight`` what they count against LNCC; see `belief`.
    """

    volume: PackedVolume
    cells: Cells
    centre: Array
    spacing: float
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
    """A task of the ``frame``, given on the lattice of ``level``; ``centre`` (3,) is the image centre in the image, mm.

    Only where it is ``visible`` is it compared. ``weight`` is that of the ``beliefs`` for each mm between points.
    """
    lattice = level.lattice
    x, y = lattice.x - np.float32(centre[0]), lattice.y - np.float32(centre[1])
    cells = in_cells(frame, visible, x, y, lattice.spacing, level.window)
    task = Task(level.packed, cells, centre, level.spacing, np.empty((0, 4, 4)), np.empty((0, 6, 6)), 0.0)
    return believing(task, beliefs, weight)


def believing(task: Task, beliefs: Sequence[Belief], weight: float) -> Task:
    """The same ``task`` with other ``beliefs``; ``weight`` is theirs for each mm between points."""
    return task._replace(
        image_from_believed=np.stack([inverse(belief.pose) for belief in beliefs]),
        precision=np.stack([np.linalg.inv(belief.scale) for belief in beliefs]),
        weight=weight * task.spacing,
    )


@numba.njit(cache=True, nogil=True)
def evaluate(task, pose):  # noqa: ANN001, ANN201 (compiled)
    """The `Evaluation` of a ``pose`` (4x4 mm) for the frame of a `Task`."""
    return _evaluate(task, pose, workspace(task.cells))


@numba.njit(cache=True, nogil=True)
def score(task, pose):  # noqa: ANN001, ANN201 (compiled)
    """The score alone of a ``pose`` (4x4 mm), as `evaluate` has it, for a fraction of its time."""
    return _score(task, pose, workspace(task.cells))


@numba.njit(cache=True, nogil=True)
def screen(task, poses):  # noqa: ANN001, ANN201 (compiled)
    """The scores (n,) of ``poses`` (n, 4, 4)."""
    work = workspace(task.cells)
    scores = np.empty(poses.shape[0])
    for index in range(poses.shape[0]):
        scores[index] = _score(task, poses[index], work)
    return scores


@numba.njit(cache=True, nogil=True)
def _evaluate(task, pose, work):  # noqa: ANN001, ANN202 (compiled)
    voxel_from_image = task.volume.voxel_from_volume @ pose
    lncc, overlap = compare(task.volume, task.cells, voxel_from_image, task.centre, work, 2)
    codes_per_mm = task.volume.step * voxel_from_image[:3, :3]
    first = slope(task.cells, codes_per_mm, work)
    second = curvature(task.cells, codes_per_mm, work)
    total = lncc * np.sqrt(overlap)
    for index in range(task.precision.shape[0]):
        precision = task.precision[index]
        motion = _motion_from_belief(task.image_from_believed[index], task.centre, pose)
        pulled = precision @ motion
        squared = np.sum(motion * pulled)
        total -= 0.5 * task.weight * TAIL * np.log1p(squared / TAIL)
        pull = task.weight * TAIL / (TAIL + squared)
        first -= pull * pulled
        second += pull * precision
    return Evaluation(pose, lncc, overlap, total, first, second)


@numba.njit(cache=True, nogil=True)
def _score(task, pose, work):  # noqa: ANN001, ANN202 (compiled)
    voxel_from_image = task.volume.voxel_from_volume @ pose
    lncc, overlap = compare(task.volume, task.cells, voxel_from_image, task.centre, work, 0)
    total = lncc * np.sqrt(overlap)
    for index in range(task.precision.shape[0]):
        motion = _motion_from_belief(task.image_from_believed[index], task.centre, pose)
        squared = np.sum(motion * (task.precision[index] @ motion))
        total -= 0.5 * task.weight * TAIL * np.log1p(squared / TAIL)
    return total


@numba.njit(cache=True, nogil=True)
def correct(task, start, iterations):  # noqa: ANN001, ANN201 (compiled)
    """Climb from the pose ``start``; returns the best `Evaluation` and how many poses were tried.

    Stops after ``iterations`` poses, when a step is a small share of the level's spacing, when damping has grown so
    far that no step of use remains, or when the frame has nothing in common with the volume.
    """
    work = workspace(task.cells)
    best = _evaluate(task, start, work)
    damping, tried = 1e-2, 1
    while tried < iterations and damping <= STRONGEST and best.curvature.any():
        curvature = np.outer(SCALE, SCALE) * best.curvature
        ridge = damping * np.trace(curvature) / 6.0
        step = np.linalg.solve(curvature + ridge * np.eye(6), SCALE * best.gradient)
        length = np.sqrt(np.sum(step**2))
        if length < CONVERGED * task.spacing:
            break
        step *= SCALE * min(1.0, FARTHEST * task.spacing / length)
        trial = _evaluate(task, best.pose @ _motion_about(task.centre, step), work)
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
