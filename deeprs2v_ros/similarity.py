"""Masked local normalised cross-correlation (LNCC) and its gradient.

In every square window w the correlation of two images over the n pixels of w that are valid in both is

    lncc_w = cov_w / sqrt((var_a + eps) (var_b + eps)),     cov_w = mean(a b) - mean(a) mean(b)

and LNCC is the mean over all windows that hold enough valid pixels, each weighted by its contrast, the standard
deviation sqrt(var_a + eps) of the fixed image. For where a window is homogeneous there is only speckle, which two
acquisitions do not share, and the unweighted mean follows noise. (LC2 of Wein et al., MICCAI 2013, weights its patches
in the same way.)

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


BATCH = 32
"""Windows that are correlated side by side."""

SCRATCH = 7 * BATCH


class Similarity(NamedTuple):
    """LNCC of two images.

    ``value``: weighted mean over the windows, in [-1, 1]; 0 where no window counts. ``gradient`` (rows, columns): its
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
    tables = np.zeros((3, *(-(-length // cell) + 1 for length in mask.shape), 4))
    np.add.at(tables[0], (rows // cell + 1, columns // cell + 1), np.stack([a**0, a, b, a * b], axis=1))
    np.add.at(tables[1], (rows // cell + 1, columns // cell + 1), np.stack([a * a, b * b, 0 * a, 0 * b], axis=1))
    counts = tables[0, cells[0] + 1, cells[1] + 1, 0]
    total, weights = correlate(tables, *cells, counts, window // 2, cell, np.empty(SCRATCH))
    gradient, curvature = np.zeros(mask.shape), np.zeros(mask.shape)
    if weights > 0.0:
        by_cell = np.zeros_like(tables[0])
        for row, column in cells.T:
            by_cell[row, column] = collect(tables[2], row, column, window // 2)
        of_a, of_b, of_one, of_square = by_cell[rows // cell, columns // cell].T / weights
        gradient[mask] = of_a * a - of_b * b + of_one
        curvature[mask] = of_square
        total /= weights
    return Similarity(total, gradient, curvature)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def correlate(tables, rows, columns, counts, reach, cell, scratch):  # noqa: ANN001, ANN201 (compiled)
    """The sum of weighted correlations of all windows, and that of their weights; their quotient is LNCC.

    ``rows`` and ``columns`` (n,) are the cells with data, ``counts`` (n,) their valid pixels, ``cell`` is their width
    in pixels, and windows reach ``reach`` cells to each side. ``tables`` (3, 1 + rows of cells, 1 + columns, 4) are
    over each cell, cell (0, 0) at [1, 1]: the sums of 1, a, b and a b; those of a^2 and b^2; and zeros. The last one
    becomes a summed-area table of what `collect` collects, the others are used up. ``scratch`` (`SCRATCH`,).
    """
    width = (2 * reach + 1) * cell
    sufficient = SUFFICIENT_COVERAGE * width * width
    sums, squares, coefficients = tables
    _add_up(sums)
    _add_up(squares)
    total, weights = 0.0, 0.0
    for first in range(0, rows.shape[0], BATCH):
        last = min(first + BATCH, rows.shape[0])
        scratch[:] = 0.0
        for index in range(first, last):
            i = index - first
            window = _window(sums, rows[index], columns[index], reach)
            n, a, b, ab = _inside(sums, window)
            aa, bb, _, _ = _inside(squares, window)
            scratch[i], scratch[i + BATCH], scratch[i + 2 * BATCH], scratch[i + 3 * BATCH] = n, a, b, ab
            scratch[i + 4 * BATCH], scratch[i + 5 * BATCH], scratch[i + 6 * BATCH] = aa, bb, counts[index]
        _correlate_batch(scratch, sufficient)
        for index in range(first, last):
            i = index - first
            total += scratch[i + 4 * BATCH]
            weights += scratch[i + 5 * BATCH]
            here = coefficients[rows[index] + 1, columns[index] + 1]
            here[0], here[1] = scratch[i], scratch[i + BATCH]
            here[2], here[3] = scratch[i + 2 * BATCH], scratch[i + 3 * BATCH]
    _add_up(coefficients)
    return total, weights


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _correlate_batch(scratch, sufficient):  # noqa: ANN001, ANN202 (compiled)
    """Replace the seven sums of each window by its four coefficients, its weighted correlation and its weight."""
    for i in range(BATCH):
        n, times = scratch[i], scratch[i + 6 * BATCH]  # one window for each of the cell's pixels
        times = times if n >= sufficient else 0.0
        share = 1.0 / (n if n > 1.0 else 1.0)
        mean_a, mean_b = scratch[i + BATCH] * share, scratch[i + 2 * BATCH] * share
        variance_a = scratch[i + 4 * BATCH] * share - mean_a * mean_a
        variance_b = scratch[i + 5 * BATCH] * share - mean_b * mean_b
        variance_a = (variance_a if variance_a > 0.0 else 0.0) + NOISE_VARIANCE
        variance_b = (variance_b if variance_b > 0.0 else 0.0) + NOISE_VARIANCE
        contrast = np.sqrt(variance_a)
        scale, precision_b = 1.0 / (contrast * np.sqrt(variance_b)), 1.0 / variance_b
        lncc = (scratch[i + 3 * BATCH] * share - mean_a * mean_b) * scale
        weight = times * contrast
        share *= weight
        scratch[i], scratch[i + BATCH] = share * scale, share * lncc * precision_b
        scratch[i + 2 * BATCH] = share * (mean_b * lncc * precision_b - mean_a * scale)
        scratch[i + 3 * BATCH] = share * precision_b
        scratch[i + 4 * BATCH], scratch[i + 5 * BATCH] = weight * lncc, weight


@numba.njit(cache=True, nogil=True, forceinline=True)
def collect(coefficients, row, column, reach):  # noqa: ANN001, ANN201 (compiled)
    """The coefficients of the pixels of a cell: of a, of -b, of 1 and of the curvature, each times the weights' sum."""
    return _inside(coefficients, _window(coefficients, row, column, reach))


@numba.njit(cache=True, nogil=True, forceinline=True)
def _window(table, row, column, reach):  # noqa: ANN001, ANN202 (compiled)
    """The window around a cell as a rectangle of the table: top, bottom, left, right."""
    top, bottom = max(row - reach, 0), min(row + reach + 1, table.shape[0] - 1)
    return top, bottom, max(column - reach, 0), min(column + reach + 1, table.shape[1] - 1)


@numba.njit(cache=True, nogil=True, forceinline=True)
def _inside(table, rectangle):  # noqa: ANN001, ANN202 (compiled)
    """The four sums over a rectangle of the cells whose summed-area table this is."""
    top, bottom, left, right = rectangle
    a, b, c, d = table[bottom, right], table[top, right], table[bottom, left], table[top, left]
    return (
        a[0] - b[0] - c[0] + d[0],
        a[1] - b[1] - c[1] + d[1],
        a[2] - b[2] - c[2] + d[2],
        a[3] - b[3] - c[3] + d[3],
    )


@numba.njit(cache=True, nogil=True, forceinline=True)
def _add_up(table):  # noqa: ANN001, ANN202 (compiled)
    """Turn a ``table`` (rows, columns, 4), whose first row and column are 0, into its summed-area table."""
    for row in range(1, table.shape[0]):
        a = b = c = d = 0.0
        above, here = table[row - 1], table[row]
        for column in range(1, table.shape[1]):
            a, b = a + here[column, 0], b + here[column, 1]
            c, d = c + here[column, 2], d + here[column, 3]
            here[column, 0], here[column, 1] = a + above[column, 0], b + above[column, 1]
            here[column, 2], here[column, 3] = c + above[column, 2], d + above[column, 3]
