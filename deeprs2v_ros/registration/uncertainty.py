"""How sure a registered pose is: noise, and disagreement between the parts of the image.

Least squares knows one kind of error, noise that is independent from one observation to the next. Shadows, speckle that
has changed and anatomy that has deformed are the other kind: whole regions that pull the plane their own way. So the
covariance is the sum of two. With the curvature H of 1 - LNCC by the motion,

    noise         2 (1 - LNCC) / n  H^-1          1 - LNCC is half the mean squared difference of the two locally
                                                  normalised images, seen in n independent observations
    disagreement  H^-1 (sum_b g_b g_b^T) H^-1     g_b is what block b of the image adds to the gradient, which is zero
                                                  in sum; the cluster-robust covariance of Liang and Zeger (1986)
"""

from __future__ import annotations

import numpy as np

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.correction import SCALE, Task, compare, normal_equations

SPECKLE_CELL = 9.0
"""mm^2 of the image plane that count as one independent observation, since speckle correlates neighbouring pixels."""

BLOCK = 40.0
"""mm: edge of the square regions that may disagree."""

UNKNOWN = 100.0
"""mm: standard deviation of a direction about which the image says nothing."""


def pose_covariance(task: Task, pose: Array) -> Array:
    """Covariance (6, 6) of a small motion of the plane about the image centre, in image axes, mm and rad.

    ``pose`` is the frame's volume_from_image (4x4), at a maximum of LNCC. The level of the ``task`` should be coarse
    enough that speckle is averaged: on a finer one, noise hides how much the blocks disagree.
    """
    lncc, by_pixel, by_pixel_twice, gradient, mask = compare(task, pose)
    curvature, scatter = np.zeros((6, 6)), np.zeros((6, 6))
    columns, rows = ((along - along[0]) // BLOCK for along in (task.x, task.y))
    for row in np.unique(rows):
        for column in np.unique(columns):
            block = mask & (rows == row)[:, None] & (columns == column)
            first, second = normal_equations(gradient, by_pixel, by_pixel_twice, block, task.x, task.y)
            curvature += second
            scatter += np.outer(first, first)

    observations = max(np.count_nonzero(mask) * task.spacing**2 / SPECKLE_CELL, 1.0)
    noise = 2.0 * max(1.0 - lncc, 1e-3) / observations
    scale = np.outer(SCALE, SCALE)
    inverse_curvature = np.linalg.inv(scale * curvature + noise / UNKNOWN**2 * np.eye(6))
    return scale * (noise * inverse_curvature + inverse_curvature @ (scale * scatter) @ inverse_curvature)


def weakest_direction(covariance: Array) -> float:
    """Standard deviation in the direction that is known worst, mm; rotations count at the lever of `SCALE`."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance / np.outer(SCALE, SCALE))[-1]))
