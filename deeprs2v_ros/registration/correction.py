"""The correction: LNCC between the frame and the slice of the volume, maximised over the pose.

    d* = argmax_d LNCC( R[volume, volume_from_image . d], frame )                                   (equation 1)

d is a motion in image axes about the image centre. The gradient of LNCC is exact; its second derivative is the
Gauss-Newton one, J^T K J with the slice's derivative J by the six motion parameters and LNCC's curvature K. Damped
steps (Levenberg-Marquardt) are taken only when they help. Rotations are measured in millimetres at a lever of `LEVER`
mm, so that one damping serves all six parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array, about, from_motion
from deeprs2v_ros.imaging.slicing import take_slice
from deeprs2v_ros.registration.pyramid import Level
from deeprs2v_ros.similarity import masked_lncc

LEVER = 50.0
"""mm: the typical distance of a pixel from the image centre; there, one radian is LEVER millimetres."""

DIAGONAL = np.diag_indices(6)
SCALE = np.array([1.0, 1.0, 1.0, 1.0 / LEVER, 1.0 / LEVER, 1.0 / LEVER])

CONVERGED = 0.02
"""A step shorter than this share of the level's spacing is the last."""

WEAKEST, STRONGEST = 1e-4, 1e2
"""Bounds of the damping, as a share of the mean curvature."""


@dataclass(frozen=True)
class Evaluation:
    """LNCC at a ``pose`` (volume_from_image), and what a step needs.

    ``gradient`` (6,) and ``curvature`` (6, 6) are taken by the motion (mm, rad). ``overlap`` is the share of the
    frame's valid area that the volume covers.
    """

    pose: Array
    lncc: float
    overlap: float
    gradient: Array
    curvature: Array

    @property
    def score(self) -> float:
        """What poses are compared by: LNCC with 0 for the part of the frame that the volume does not cover.

        Without it, sliding the frame out of the volume until only its best corner is left would count as success.
        """
        return self.lncc * self.overlap


def evaluate(level: Level, frame: NDArray[np.float32], pose: Array, centre: Array) -> Evaluation:
    """Compare ``frame``, on the level's lattice, with the slice at ``pose`` (4x4); ``centre`` (3,) in the image, mm."""
    values, gradient, mask = take_slice(level.volume, level.lattice, pose, level.mask)
    similarity = masked_lncc(frame, values, mask, level.window)
    x, y = level.lattice.x - centre[0], level.lattice.y - centre[1]
    first, second = normal_equations(gradient, similarity.gradient, similarity.curvature, mask, x, y)
    overlap = np.count_nonzero(mask) / np.count_nonzero(level.mask)
    return Evaluation(pose, similarity.value, overlap, first, second)


def correct(
    level: Level, frame: NDArray[np.float32], start: Array, centre: Array, iterations: int
) -> tuple[Evaluation, int]:
    """Climb from ``start`` on one level; returns the best evaluation and how many poses were tried.

    Stops after ``iterations`` poses, when a step is a small share of the level's spacing, when damping has grown so
    far that no step of use remains, or when the frame has nothing in common with the volume.
    """
    best = evaluate(level, frame, start, centre)
    damping, tried = 1e-2, 1
    while tried < iterations and damping <= STRONGEST and best.curvature.any():
        curvature = SCALE[:, None] * best.curvature * SCALE
        curvature[DIAGONAL] += damping * np.trace(curvature) / 6.0
        step = np.linalg.solve(curvature, SCALE * best.gradient)
        length = float(np.linalg.norm(step))
        if length < CONVERGED * level.spacing:
            break
        step *= SCALE * min(1.0, 4.0 * level.spacing / length)
        trial = evaluate(level, frame, best.pose @ about(centre, from_motion(step)), centre)
        tried += 1
        if trial.score > best.score:
            best, damping = trial, max(damping / 5.0, WEAKEST)
        else:
            damping *= 5.0
    return best, tried


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
