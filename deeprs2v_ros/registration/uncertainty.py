"""How sure a registered pose is: noise, and disagreement between the parts of the image.

Least squares knows one kind of error, noise that is independent from one observation to the next. Shadows, speckle
that has changed and anatomy that has deformed are the other kind: whole regions that pull the plane their own way. Both
shift the summit of LNCC the farther, the flatter it is. With H the curvature of 1 - LNCC by the motion,

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

import numpy as np

from deeprs2v_ros.geometry import Array, about, from_motion
from deeprs2v_ros.registration.correction import SCALE, WORKERS, Task, compare, evaluate, normal_equations

SPECKLE_CELL = 9.0
"""mm^2 of the image plane that count as one independent observation, since speckle correlates neighbouring pixels."""

BLOCK = 40.0
"""mm: edge of the square regions that may disagree."""

STEP = 1.0
"""mm, and as far at the lever of `SCALE`: steps by which the curvature is measured."""

UNKNOWN = 100.0
"""mm: standard deviation of a direction about which the image says nothing."""


def pose_covariance(task: Task, pose: Array) -> Array:
    """Covariance (6, 6) of a small motion of the plane about the image centre, in image axes, mm and rad.

    ``pose`` is the frame's volume_from_image (4x4), at a maximum of LNCC. The level of the ``task`` should be coarse
    enough that speckle is averaged: on a finer one, noise hides how much the blocks disagree.
    """
    lncc, by_pixel, by_pixel_twice, gradient, mask = compare(task, pose)
    expected, scatter = np.zeros((6, 6)), np.zeros((6, 6))
    columns, rows = ((along - along[0]) // BLOCK for along in (task.x, task.y))
    for row in np.unique(rows):
        for column in np.unique(columns):
            block = mask & (rows == row)[:, None] & (columns == column)
            first, second = normal_equations(gradient, by_pixel, by_pixel_twice, block, task.x, task.y)
            expected += second
            scatter += np.outer(first, first)

    observations = max(np.count_nonzero(mask) * task.spacing**2 / SPECKLE_CELL, 1.0)
    noise = 2.0 * max(1.0 - lncc, 1e-3) / observations
    scale = np.outer(SCALE, SCALE)
    least = noise / UNKNOWN**2
    variances, axes = np.linalg.eigh(measured_curvature(task, pose))
    inverse_curvature = axes / np.maximum(variances, least) @ axes.T
    pull = noise * (scale * expected + least * np.eye(6)) + scale * scatter
    return scale * (inverse_curvature @ pull @ inverse_curvature)


def measured_curvature(task: Task, pose: Array) -> Array:
    """Curvature (6, 6) of 1 - LNCC at ``pose``, by steps of `STEP` both ways along each axis, in units of `SCALE`."""
    alone = task._replace(weight=0.0)
    motions = STEP * np.concatenate([np.eye(6), -np.eye(6)]) * SCALE
    poses = [pose @ about(task.centre, from_motion(motion)) for motion in motions]
    ahead, behind = np.split(np.stack([SCALE * at.gradient for at in WORKERS.map(evaluate, repeat(alone), poses)]), 2)
    slopes = (behind - ahead) / (2.0 * STEP)
    return 0.5 * (slopes + slopes.T)


def weakest_direction(covariance: Array) -> float:
    """Standard deviation in the direction that is known worst, mm; rotations count at the lever of `SCALE`."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance / np.outer(SCALE, SCALE))[-1]))
