"""How sure a registered pose is: noise, and disagreement between the parts of the image.

Least squares knows one kind of error, noise that is independent from one observation to the next. Shadows, speckle
that has changed and anatomy that has deformed are the other kind: whole regions that pull the plane their own way. Both
shift the summit of LNCC, and farther where it is flatter. With H the curvature of 1 - LNCC by the motion,

    covariance = H^-1 (noise + disagreement) H^-1

    noise         2 (1 - LNCC) / n  G             1 - LNCC is half the mean squared difference of the two locally
                                                  normalised images, seen in n independent observations; G is the
                                                  curvature that Gauss and Newton would expect
    disagreement  sum_b g_b g_b^T                 g_b is what block b of the image adds to the gradient, which is zero
                                                  in sum; the cluster-robust covariance of Liang and Zeger (1986)

H is measured, by moving the plane: where frame and slice are alike in part only, it is a fraction of G.
"""

from __future__ import annotations

from itertools import repeat

import numba
import numpy as np

from deeprs2v_ros.geometry import Array, about, from_motion
from deeprs2v_ros.registration.cells import LANES
from deeprs2v_ros.registration.correction import SCALE, WORKERS, Task
from deeprs2v_ros.registration.kernel import compare, curvature, motion_of, slope, workspace

SPECKLE_CELL = 9.0
"""mm^2 of the image plane that count as one independent observation, since speckle correlates neighbouring pixels."""

BLOCK = 40.0
"""mm: edge of the square regions that may disagree."""

STEP = 1.0
"""mm, and as far at the lever of `SCALE`: steps by which the curvature is measured."""

UNKNOWN = 100.0
"""mm: standard deviation of a direction about which the image says nothing."""


def pose_covariance(task: Task, pose: Array, alone: bool = False) -> Array:
    """Covariance (6, 6) of a small motion of the plane about the image centre, in image axes, mm and rad.

    ``pose`` is the frame's volume_from_image (4x4), at a maximum of LNCC. The level of the ``task`` should be coarse
    enough that speckle is averaged: on a finer one, noise hides how much the blocks disagree. With ``alone``, the
    `WORKERS` are left to others.
    """
    lncc, overlap, expected, pulls = by_block(task, pose)
    observations = max(overlap * task.cells.valid * task.spacing**2 / SPECKLE_CELL, 1.0)
    noise = 2.0 * max(1.0 - lncc, 1e-3) / observations
    scale = np.outer(SCALE, SCALE)
    least = noise / UNKNOWN**2
    variances, axes = np.linalg.eigh(measured_curvature(task, pose, alone))
    inverse_curvature = axes / np.maximum(variances, least) @ axes.T
    pull = noise * (scale * expected + least * np.eye(6)) + scale * (pulls.T @ pulls)
    return scale * (inverse_curvature @ pull @ inverse_curvature)


def measured_curvature(task: Task, pose: Array, alone: bool = False) -> Array:
    """Curvature (6, 6) of 1 - LNCC at ``pose``, by steps of `STEP` both ways along each axis, in units of `SCALE`."""
    motions = STEP * np.concatenate([np.eye(6), -np.eye(6)]) * SCALE
    poses = pose @ np.stack([about(task.centre, from_motion(motion)) for motion in motions])
    halves = (map if alone else WORKERS.map)(slopes, repeat(task), np.split(poses, 2))
    ahead, behind = (SCALE * half for half in halves)
    measured = (behind - ahead) / (2.0 * STEP)
    return 0.5 * (measured + measured.T)


@numba.njit(cache=True, nogil=True)
def by_block(task, pose):  # noqa: ANN001, ANN201 (compiled)
    """LNCC, overlap, curvature (6, 6) expected at a ``pose``, and what each block adds to LNCC's slope (blocks, 6).

    A cell belongs to the block that its middle is in.
    """
    cells, work = task.cells, workspace(task.cells)
    voxel_from_image = task.volume.voxel_from_volume @ pose
    codes_per_mm = task.volume.step * voxel_from_image[:3, :3]
    lncc, overlap = compare(task.volume, cells, voxel_from_image, task.centre, work, 2)
    wide, high = BLOCK / (cells.size * cells.step[0]), BLOCK / (cells.size * cells.step[1])  # cells
    across = int(cells.shape[1] / wide) + 1
    sums = np.zeros(((int(cells.shape[0] / high) + 1) * across, 3, 3))
    for index in range(cells.rows.shape[0]):
        group, lane = index // LANES, index % LANES
        block = sums[int((cells.rows[index] + 0.5) / high) * across + int((cells.columns[index] + 0.5) / wide)]
        pulls, x, y = work.pulls[group], cells.x[group, lane], cells.y[group, lane]
        for axis in range(3):
            pull = pulls[lane + axis * LANES]
            block[0, axis] += pull
            block[1, axis] += x * pull + pulls[lane + (axis + 3) * LANES]
            block[2, axis] += y * pull + pulls[lane + (axis + 6) * LANES]
    result = np.empty((sums.shape[0], 6))
    for index in range(sums.shape[0]):
        result[index] = motion_of(sums[index], codes_per_mm)
    return lncc, overlap, curvature(cells, codes_per_mm, work), result


@numba.njit(cache=True, nogil=True)
def slopes(task, poses):  # noqa: ANN001, ANN201 (compiled)
    """Slope (n, 6) of LNCC, without beliefs, by a motion (mm, rad) from each of the ``poses`` (n, 4, 4)."""
    work, result = workspace(task.cells), np.empty((poses.shape[0], 6))
    for index in range(poses.shape[0]):
        voxel_from_image = task.volume.voxel_from_volume @ poses[index]
        compare(task.volume, task.cells, voxel_from_image, task.centre, work, 1)
        result[index] = slope(task.cells, task.volume.step * voxel_from_image[:3, :3], work)
    return result


def weakest_direction(covariance: Array) -> float:
    """Standard deviation in the direction that is known worst, mm; rotations count at the lever of `SCALE`."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance / np.outer(SCALE, SCALE))[-1]))
