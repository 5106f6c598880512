"""Masked local normalised cross-correlation (LNCC) and its gradient.

In every square window w the correlation of two images over the n pixels of w that are valid in both is

    lncc_w = cov_w / sqrt((var_a + eps) (var_b + eps)),     cov_w = mean(a b) - mean(a) mean(b)

and LNCC is the mean over all windows that hold enough valid pixels, each weighed by its contrast, the standard
deviation sqrt(var_a + eps) of the fixed image. For where a window is homogeneous there is only speckle, which two
acquisitions do not share, and the unweighed mean follows noise. (LC2 of Wein et al., MICCAI 2013, weighs its patches in
the same way.)

There is one window for each valid pixel. Windows are made of square cells, and that of a pixel is centred on its cell:
with cells of one pixel on the pixel itself, with larger ones a little beside it, for a fraction of the work, since all
pixels of a cell then have the same window.

The mask may have any shape: the sums are taken over the intersection alone. Each sum comes from four corners of a
summed-area table of the cells, so its cost does not depend on the window; and so does the gradient,

    d lncc_w / d b_i = ((a_i - mean_a) / sqrt(var_a var_b) - (b_i - mean_b) lncc_w / var_b) / n:

a pixel collects, over the windows that hold it, coefficients of a_i, of b_i and of 1, which are the same for all pixels
of a cell; and likewise the curvature's, 1 / (n var_b).
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


def masked_lncc(fixed: NDArray, moving: NDArray, mask: NDArray[np.bool_], window: int, cell: int = 1) -> Similarity:
    """LNCC between two images (rows, columns) over ``mask``, in square windows of ``window`` cells (odd).

    A cell is ``cell`` pixels wide; the first starts at the first pixel. Intensities are expected in [0, 1]. Exact: the
    gradient is the derivative of the value.
    """
    rows, columns = np.nonzero(mask)
    a, b = fixed[mask].astype(np.float64), moving[mask].astype(np.float64)
    if len(a):
        a, b = a - a.mean(), b - b.mean()  # keeps the sums of squares small, hence exact
    cells = np.unique(np.stack([rows // cell, columns // cell]), axis=1).astype(np.int32)
    shape = [-(-length // cell) + 1 for length in mask.shape]
    sums, coefficients = np.zeros((*shape, 6)), np.zeros((*shape, 4))
    np.add.at(sums, (rows // cell + 1, columns // cell + 1), np.stack([a**0, a, b, a * a, b * b, a * b], axis=1))
    counts = sums[cells[0] + 1, cells[1] + 1, 0]
    total, weights = correlate(sums, coefficients, *cells, counts, window // 2, cell)
    gradient, curvature = np.zeros(mask.shape), np.zeros(mask.shape)
    if weights > 0.0:
        by_cell = np.zeros((*shape, 4))
        for row, column in cells.T:
            by_cell[row, column] = collect(coefficients, row, column, window // 2)
        of_a, of_b, of_one, of_square = by_cell[rows // cell, columns // cell].T / weights
        gradient[mask] = of_a * a - of_b * b + of_one
        curvature[mask] = of_square
        total /= weights
    return Similarity(total, gradient, curvature)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def correlate(sums, coefficients, rows, columns, counts, reach, cell):  # noqa: ANN001, ANN201 (compiled)
    """The sum of weighed correlations of all windows, and that of their weights; their quotient is LNCC.

    ``rows`` and ``columns`` (n,) are the cells with data, ``counts`` (n,) their valid pixels, ``cell`` is their width
    in pixels, and windows reach ``reach`` cells to each side. ``sums`` (1 + rows of cells, 1 + columns, 6) are over each cell, of 1, a, b, a^2, b^2 and a b,
    cell (0, 0) at [1, 1]; they become a summed-area table. ``coefficients`` (..., 4), zeros, become that of what
    `collect` collects.
    """
    width = (2 * reach + 1) * cell
    sufficient = SUFFICIENT_COVERAGE * width * width
    total, weights = 0.0, 0.0
    _add_up(sums)
    for index in range(rows.shape[0]):
        row, column = rows[index], columns[index]
        top, bottom, left, right = _window(sums, row, column, reach)
        n = _corners(sums, top, bottom, left, right, 0)
        if counts[index] == 0.0 or n < sufficient:
            continue
        share = 1.0 / n
        mean_a = _corners(sums, top, bottom, left, right, 1) * share
        mean_b = _corners(sums, top, bottom, left, right, 2) * share
        variance_a = max(_corners(sums, top, bottom, left, right, 3) * share - mean_a**2, 0.0) + NOISE_VARIANCE
        variance_b = max(_corners(sums, top, bottom, left, right, 4) * share - mean_b**2, 0.0) + NOISE_VARIANCE
        contrast = np.sqrt(variance_a)
        scale, precision_b = 1.0 / (contrast * np.sqrt(variance_b)), 1.0 / variance_b
        lncc = (_corners(sums, top, bottom, left, right, 5) * share - mean_a * mean_b) * scale
        weight = counts[index] * contrast  # one window for each pixel of the cell
        total, weights = total + weight * lncc, weights + weight
        share *= weight
        here = coefficients[row + 1, column + 1]
        here[0], here[1] = share * scale, share * lncc * precision_b
        here[2], here[3] = share * (mean_b * lncc * precision_b - mean_a * scale), share * precision_b
    _add_up(coefficients)
    return total, weights


@numba.njit(cache=True, nogil=True)
def collect(coefficients, row, column, reach):  # noqa: ANN001, ANN201 (compiled)
    """The coefficients of the pixels of a cell: of a, of -b, of 1 and of the curvature, each times the weights' sum."""
    top, bottom, left, right = _window(coefficients, row, column, reach)
    return (
        _corners(coefficients, top, bottom, left, right, 0),
        _corners(coefficients, top, bottom, left, right, 1),
        _corners(coefficients, top, bottom, left, right, 2),
        _corners(coefficients, top, bottom, left, right, 3),
    )


@numba.njit(cache=True, nogil=True, forceinline=True)
def _window(table, row, column, reach):  # noqa: ANN001, ANN202 (compiled)
    """The window around a cell as a rectangle of the table: top, bottom, left, right."""
    top, bottom = max(row - reach, 0), min(row + reach + 1, table.shape[0] - 1)
    return top, bottom, max(column - reach, 0), min(column + reach + 1, table.shape[1] - 1)


@numba.njit(cache=True, nogil=True, forceinline=True)
def _corners(table, top, bottom, left, right, layer):  # noqa: ANN001, ANN202 (compiled)
    """Sum over a rectangle of the cells whose summed-area table this is."""
    return table[bottom, right, layer] - table[top, right, layer] - table[bottom, left, layer] + table[top, left, layer]


@numba.njit(cache=True, nogil=True, forceinline=True)
def _add_up(table):  # noqa: ANN001, ANN202 (compiled)
    """Turn a ``table`` (rows, columns, layers), whose first row and column are 0, into its summed-area table."""
    for row in range(1, table.shape[0]):
        for column in range(1, table.shape[1]):
            for layer in range(table.shape[2]):
                table[row, column, layer] += table[row, column - 1, layer]
        for column in range(1, table.shape[1]):
            for layer in range(table.shape[2]):
                table[row, column, layer] += table[row - 1, column, layer]
