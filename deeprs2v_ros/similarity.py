"""Masked local normalised cross-correlation (LNCC) and its gradient.

In every square window w the correlation of two images over the n pixels of w that are valid in both is

    lncc_w = cov_w / sqrt((var_a + eps) (var_b + eps)),     cov_w = mean(a b) - mean(a) mean(b)

and LNCC is the mean over all windows that hold enough valid pixels, each weighed by its contrast, the standard
deviation sqrt(var_a + eps) of the fixed image. For where a window is homogeneous there is only speckle, which two
acquisitions do not share, and the unweighed mean follows noise. (LC2 of Wein et al., MICCAI 2013, weighs its patches in
the same way.)

The mask may have any shape: the sums are taken over the intersection alone. Each sum comes from four corners of a
summed-area table, so its cost does not depend on the window; and so does the gradient: a pixel collects, over the
windows that hold it, coefficients that do not depend on the pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

NOISE_VARIANCE = (2.0 / 255.0) ** 2
"""eps: variance below which a window is noise rather than structure, for intensities in [0, 1]."""

SUFFICIENT_COVERAGE = 0.25
"""Share of a window that must be valid in both images for the window to count."""


class Similarity(NamedTuple):
    """LNCC of two images.

    ``value``: weighed mean over the windows, in [-1, 1]; 0 where no window counts. ``gradient`` (rows, columns): its
    derivative by each pixel of the moving image. ``curvature`` (rows, columns): the Gauss-Newton second derivative, the
    weight of a squared change of each pixel in 1 - LNCC.
    """

    value: float
    gradient: Float
    curvature: Float


def masked_lncc(fixed: NDArray, moving: NDArray, mask: NDArray[np.bool_], window: int) -> Similarity:
    """LNCC between two images (rows, columns) over ``mask``, in square windows of ``window`` pixels (odd).

    Intensities are expected in [0, 1]. Exact: the gradient is the derivative of the value.
    """
    return Similarity(*lncc_with_derivatives(fixed, moving, mask, window))


@numba.njit(cache=True, nogil=True)
def lncc_with_derivatives(fixed, moving, mask, window):  # noqa: ANN001, ANN201 (compiled)
    """The fields of `Similarity`, as `masked_lncc` returns them."""
    half, sufficient = window // 2, SUFFICIENT_COVERAGE * window * window
    rows, columns = mask.shape
    gradient, curvature = np.zeros((rows, columns)), np.zeros((rows, columns))
    offset_a, offset_b = _mean(fixed, mask), _mean(moving, mask)  # keeps the sums of squares small, hence exact

    sums = np.zeros((rows + 1, columns + 1, 6))
    for row in range(rows):
        n = a1 = b1 = aa = bb = ab = 0.0
        for column in range(columns):
            if mask[row, column]:
                a, b = fixed[row, column] - offset_a, moving[row, column] - offset_b
                n, a1, b1, aa, bb, ab = n + 1.0, a1 + a, b1 + b, aa + a * a, bb + b * b, ab + a * b
            above, here = sums[row, column + 1], sums[row + 1, column + 1]
            here[0], here[1], here[2] = above[0] + n, above[1] + a1, above[2] + b1
            here[3], here[4], here[5] = above[3] + aa, above[4] + bb, above[5] + ab

    # d lncc_w / d b_i = ((a_i - mean_a) scale - (b_i - mean_b) lncc / var_b) / n, for every window w that holds i:
    # four coefficients a window, of a_i, of b_i, of 1, and the curvature's 1 / (n var_b), each times its weight.
    coefficients = np.zeros((rows + 1, columns + 1, 4))
    total, weights = 0.0, 0.0
    for row in range(rows):
        top, bottom = max(row - half, 0), min(row + half + 1, rows)
        of_a = of_b = of_one = of_square = 0.0
        for column in range(columns):
            left, right = max(column - half, 0), min(column + half + 1, columns)
            n = _corners(sums, top, bottom, left, right, 0)
            if mask[row, column] and n >= sufficient:
                mean_a = _corners(sums, top, bottom, left, right, 1) / n
                mean_b = _corners(sums, top, bottom, left, right, 2) / n
                variance_a = max(_corners(sums, top, bottom, left, right, 3) / n - mean_a**2, 0.0) + NOISE_VARIANCE
                variance_b = max(_corners(sums, top, bottom, left, right, 4) / n - mean_b**2, 0.0) + NOISE_VARIANCE
                scale = 1.0 / np.sqrt(variance_a * variance_b)
                lncc = (_corners(sums, top, bottom, left, right, 5) / n - mean_a * mean_b) * scale
                weight = np.sqrt(variance_a)
                total, weights = total + weight * lncc, weights + weight
                share = weight / n
                of_a += share * scale
                of_b += share * lncc / variance_b
                of_one += share * (mean_b * lncc / variance_b - mean_a * scale)
                of_square += share / variance_b
            above, here = coefficients[row, column + 1], coefficients[row + 1, column + 1]
            here[0], here[1] = above[0] + of_a, above[1] + of_b
            here[2], here[3] = above[2] + of_one, above[3] + of_square
    if weights == 0.0:
        return 0.0, gradient, curvature

    for row in range(rows):
        top, bottom = max(row - half, 0), min(row + half + 1, rows)
        for column in range(columns):
            if mask[row, column]:
                left, right = max(column - half, 0), min(column + half + 1, columns)
                a, b = fixed[row, column] - offset_a, moving[row, column] - offset_b
                by_pixel = a * _corners(coefficients, top, bottom, left, right, 0)
                by_pixel -= b * _corners(coefficients, top, bottom, left, right, 1)
                by_pixel += _corners(coefficients, top, bottom, left, right, 2)
                gradient[row, column] = by_pixel / weights
                curvature[row, column] = _corners(coefficients, top, bottom, left, right, 3) / weights
    return total / weights, gradient, curvature


@numba.njit(cache=True, nogil=True, inline="always")
def _corners(table, top, bottom, left, right, layer):  # noqa: ANN001, ANN202 (compiled)
    """Sum over a rectangle of the image whose summed-area table this is."""
    return table[bottom, right, layer] - table[top, right, layer] - table[bottom, left, layer] + table[top, left, layer]


@numba.njit(cache=True, nogil=True)
def _mean(image, mask):  # noqa: ANN001, ANN202 (compiled)
    total, count = 0.0, 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if mask[row, column]:
                total, count = total + image[row, column], count + 1
    return total / max(count, 1)
