"""A frame laid out for the compiled kernel: in cells, whose points lie lane by lane.

The lattice of a level is divided into square cells, of which LNCC's windows are made (see `similarity`). Cells with
data are taken `LANES` at a time. The points of such a group are stored slot by slot: first the first point of each of
its cells, then the second of each, and so on. So whatever is done to a point, and whatever is added up in a cell, is
done to `LANES` neighbours in memory at once, which is what processors do fastest; and points where the frame has
nothing to show are stored only where a cell is cut by the mask's edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

LANES = 32
"""Cells of a group."""

ACROSS = 5
"""Cells across a window, or nearly so: with fewer, the window's place would be too coarse."""


class Cells(NamedTuple):
    """The points of a frame, in groups of `LANES` cells of ``size`` by ``size`` points, ``step`` (x, y) mm apart.

    ``points`` (groups, size^2, 2 LANES) are, for each slot, the intensities less ``mean``, 0 where there are none, and
    then 1 where there are, else 0. ``x`` and ``y`` (groups, LANES) are mm from the image centre to each cell's first
    point, ``rows`` and ``columns`` (cells,) the places of the cells on their grid of ``shape``. A window reaches
    ``reach`` cells to each side. ``valid`` is the number of valid points.
    """

    points: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    shape: tuple[int, int]
    size: int
    step: tuple[float, float]
    reach: int
    mean: float
    valid: int


def division(window: int) -> tuple[int, int]:
    """Points across a cell, and the cells that a window of ``window`` points reaches to each side; at least one."""
    size = max(1, round(window / ACROSS))
    return size, max(1, round((window / size - 1) / 2))


def in_cells(
    frame: NDArray[np.float32],
    visible: NDArray[np.bool_],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    step: tuple[float, float],
    window: int,
) -> Cells:
    """Lay out the ``visible`` points of a ``frame`` (rows, columns) for windows of ``window`` points.

    ``x`` (columns,) and ``y`` (rows,) are mm from the image centre.
    """
    size, reach = division(window)
    shape = -(-len(y) // size), -(-len(x) // size)
    points, of_x, of_y, rows, columns, mean, valid = _lay_out(frame, visible, x, y, size, shape)
    if len(rows):  # no larger a grid than needed
        rows -= rows.min()
        columns -= columns.min()
        shape = int(rows.max()) + 1, int(columns.max()) + 1
    return Cells(points, of_x, of_y, rows, columns, shape, size, step, reach, mean, valid)


@numba.njit(cache=True, nogil=True)
def _lay_out(frame, visible, x, y, size, shape):  # noqa: ANN001, ANN202 (compiled)
    total, valid, count = 0.0, 0, 0
    rows, columns = np.empty(shape[0] * shape[1], np.int32), np.empty(shape[0] * shape[1], np.int32)
    for row in range(shape[0]):
        for column in range(shape[1]):
            before = valid
            for down in range(row * size, min((row + 1) * size, visible.shape[0])):
                for right in range(column * size, min((column + 1) * size, visible.shape[1])):
                    if visible[down, right]:
                        total, valid = total + frame[down, right], valid + 1
            if valid > before:
                rows[count], columns[count] = row, column
                count += 1
    mean = np.float32(total / max(valid, 1))
    groups = (count + LANES - 1) // LANES
    points = np.zeros((groups, size * size, 2 * LANES), np.float32)
    of_x, of_y = np.zeros((groups, LANES), np.float32), np.zeros((groups, LANES), np.float32)
    for index in range(count):
        group, lane = index // LANES, index % LANES
        top, left = rows[index] * size, columns[index] * size
        of_x[group, lane], of_y[group, lane] = x[left], y[top]
        for down in range(min(size, visible.shape[0] - top)):
            for right in range(min(size, visible.shape[1] - left)):
                if visible[top + down, left + right]:
                    slot = points[group, down * size + right]
                    slot[lane], slot[LANES + lane] = frame[top + down, left + right] - mean, 1.0
    return points, of_x, of_y, rows[:count].copy(), columns[:count].copy(), mean, valid
