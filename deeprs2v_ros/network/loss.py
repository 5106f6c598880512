"""What the networks are trained on: the paper's loss, and the likelihood that teaches them how sure they are.

    L = alpha (1 - LNCC) + beta |t - t_gt|^2 + gamma geodesic(R, R_gt)

LNCC is that of `similarity`, in torch. It compares the frame with the slice that the predicted correction cuts out of
the box which the network saw, so no volume is needed here. Every gradient is finite, also of a perfect prediction and
of one that leaves the box.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from deeprs2v_ros.network.observation import LEAST_KNOWN, Estimate, Grid, Observation, points_on
from deeprs2v_ros.network.rigid import geodesic, inverse, to_motion
from deeprs2v_ros.similarity import NOISE_VARIANCE, SUFFICIENT_COVERAGE

ALPHA, BETA, GAMMA = 20.0 / 31.0, 1.0 / 31.0, 10.0 / 31.0
"""Weights of 1 - LNCC, of the squared translation error (mm^2) and of the rotation error (rad): 20:1:10, sum 1."""

WINDOW = 25.5
"""Edge of the windows of LNCC, mm: the paper's 51 pixels of 0.5 mm."""


def registration_loss(estimate: Estimate, truth: Tensor, observation: Observation, grid: Grid) -> Tensor:
    """The loss of the paper, mean over the batch. ``truth`` (batch, 4, 4) is the right correction.

    ``grid`` is the one that the ``observation`` is sampled on. LNCC is taken where both frame and slice are known; if
    that is nowhere, it counts as 0 and the other two terms lead the way back.
    """
    moved = slice_box(observation.box, estimate.correction, grid)
    known = (observation.frame[:, 1] > 0.5) & (moved[:, 1] > 0.5)
    lncc = masked_lncc(observation.frame[:, 0], moved[:, 0], known, window_points(grid))
    translation_error = (estimate.correction[:, :3, 3] - truth[:, :3, 3]).square().sum(-1)
    rotation_error = geodesic(estimate.correction[:, :3, :3], truth[:, :3, :3])
    return (ALPHA * (1.0 - lncc) + BETA * translation_error + GAMMA * rotation_error).mean()


def negative_log_likelihood(estimate: Estimate, truth: Tensor) -> Tensor:
    """Of the right corrections ``truth`` (batch, 4, 4) under a Gaussian estimate, mean over the batch.

    The residual is the small motion from the correction on, ``truth = correction . r``, of which `Estimate` has the
    covariance. To train the covariance alone, detach the correction.
    """
    residual = to_motion(inverse(estimate.correction) @ truth).double()
    triangle = torch.linalg.cholesky(estimate.covariance.double())  # float32 is too coarse for a full mm-and-rad one
    whitened = torch.linalg.solve_triangular(triangle, residual.unsqueeze(-1), upper=False).squeeze(-1)
    log_determinant = 2.0 * triangle.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    likelihood = 0.5 * (whitened.square().sum(-1) + log_determinant + 6.0 * math.log(2.0 * math.pi))
    return likelihood.mean().to(estimate.covariance.dtype)


def slice_box(box: Tensor, correction: Tensor, grid: Grid) -> Tensor:
    """The plane z = 0 of the ``grid``, moved by ``correction`` (batch, 4, 4), out of the ``box`` (batch, 2, z, y, x).

    Returns (batch, 2, y, x), interpolated trilinearly. Where a point's neighbours are not all known, both channels are
    0.
    """
    plane = points_on(box.device, grid, plane=True).to(box.dtype)
    moved = plane.reshape(1, -1, 3) @ correction[:, :3, :3].mT + correction[:, None, :3, 3]
    # -1 and 1 are the first and the last point of the box.
    half = 0.5 * grid.spacing * (box.new_tensor(grid.size) - 1.0).clamp(min=1.0)
    sampled = functional.grid_sample(
        box, (moved / half).reshape(-1, 1, *plane.shape), mode="bilinear", padding_mode="zeros", align_corners=True
    ).squeeze(2)
    known = (sampled[:, 1:] >= LEAST_KNOWN).to(box.dtype)
    return torch.cat([sampled[:, :1] * known, known], dim=1)


def window_points(grid: Grid) -> int:
    """`WINDOW` in points of the ``grid``: the nearest odd number, at least 3."""
    return 2 * max(1, round((WINDOW / grid.spacing - 1.0) / 2.0)) + 1


def masked_lncc(fixed: Tensor, moving: Tensor, mask: Tensor, window: int) -> Tensor:
    """LNCC (batch,) of images (batch, rows, columns) over ``mask``, in square windows of ``window`` points (odd).

    The definition is that of `similarity.masked_lncc`, which documents it. 0, with a gradient of 0, where no window
    counts.
    """
    # Sums of squares in double precision and about the mean, or the variance drowns in rounding. The mean is a constant
    # as far as LNCC is concerned, so no gradient need pass it.
    inside = mask.double()
    a, b = (torch.where(mask, image, 0.0).double() for image in (fixed, moving))
    pixels = inside.sum((-1, -2), keepdim=True).clamp(min=1.0)
    a, b = (inside * (image - image.detach().sum((-1, -2), keepdim=True) / pixels) for image in (a, b))

    count, *sums = box_sums(torch.stack([inside, a, b, a * a, b * b, a * b]), window)
    mean_a, mean_b, square_a, square_b, product = (each / count.clamp(min=1.0) for each in sums)
    variance_a = (square_a - mean_a.square()).clamp(min=0.0) + NOISE_VARIANCE
    variance_b = (square_b - mean_b.square()).clamp(min=0.0) + NOISE_VARIANCE
    lncc = (product - mean_a * mean_b) / torch.sqrt(variance_a * variance_b)
    weight = (mask & (count >= SUFFICIENT_COVERAGE * window**2)) * torch.sqrt(variance_a)
    return ((weight * lncc).sum((-1, -2)) / weight.sum((-1, -2)).clamp(min=torch.finfo().tiny)).to(moving.dtype)


def box_sums(images: Tensor, window: int) -> Tensor:
    """Sum of ``images`` (..., rows, columns) over the window about each point, as far as it lies in the image.

    Four corners of a summed-area table: its cost does not depend on the window.
    """
    half = window // 2
    table = functional.pad(images, (half + 1, half, half + 1, half)).cumsum(-1).cumsum(-2)
    rows = table[..., window:, :] - table[..., :-window, :]
    return rows[..., window:] - rows[..., :-window]
