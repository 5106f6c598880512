"""The inner loop: the frame against the volume on one plane, LNCC with its derivatives by the plane's motion.

A point p = (x, y, 0) of the plane, in image axes about the image centre, shows b(p), the volume there, and moves by
t + w x p. With g the gradient of b in image axes,

    db = g . t + (p x g) . w .

LNCC (see `similarity`) changes by f_i = C0 a_i - C1 b_i + C2 for each b_i, and 1 - LNCC has the curvature C3 by b_i;
the coefficients are the same in all of a cell. So its slope by the motion, and its Gauss-Newton curvature, are

    ( sum f g, sum p x (f g) )          and          sum C3 (g, p x g) (g, p x g)^T .

Since p has but two coordinates, and in the curvature those of the cell's middle will do for all of the cell, the first
needs the sums of f g, f g x and f g y, and the second those of G = C3 sum g g^T with 1, x, y, x^2, x y and y^2. They
are taken in voxel axes, as the gradient comes, and turned into image axes at the end.

Three sweeps over the points. The first samples the volume and adds up in each cell what windows are made of; windows
are correlated; the second collects the slope. The score alone needs no more than the first, without gradients.

Each loop below runs over the lanes of a group of cells and has no branches, so that it compiles to vector instructions;
what it reads and writes is at fixed distances in few arrays, since a compiler that cannot tell two arrays apart must
not reorder what is done to them. `forceinline` spares the calls. Sums of 32 bits stay within a cell; others have 64.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.cells import LANES
from deeprs2v_ros.similarity import SCRATCH, collect, correlate

Float32 = NDArray[np.float32]

CORNERS = 3 * LANES
"""In the scratch, behind the fractions of the point's place between the corners: the corners' codes."""

SHOWN = 11 * LANES
"""Behind those: where both images show something, and the frame's intensity there."""

COEFFICIENTS = 13 * LANES
"""And behind those: C0, C1, C2 and C3 of each cell, over the sum of the weights."""

SIMPLE, FAST = {"cache": True, "nogil": True, "error_model": "numpy"}, {"contract", "reassoc", "nsz"}
LANEWISE = {**SIMPLE, "forceinline": True, "fastmath": FAST}
"""Sums may be taken in another order than written, which is the same each time; NaN stays NaN."""


class Workspace(NamedTuple):
    """Memory for one evaluation at a time; see `workspace`. What is of interest outside:

    ``pulls`` (groups, 9 LANES): of each cell, the sums of f g, of f g x and of f g y, with x and y from its first
    point, mm, and g in voxel axes; see `slope`.
    """

    plane: Float32
    scratch: Float32
    index: NDArray[np.int32]
    words: NDArray[np.uint64]
    sampled: Float32
    sums: Float32
    counts: Array
    tables: Array
    windows: Array
    pulls: Float32
    moments: Float32


@numba.njit(**SIMPLE)
def workspace(cells):  # noqa: ANN001, ANN201 (compiled)
    """A `Workspace` for `Cells`. No two threads may use the same."""
    groups, slots = cells.points.shape[0], cells.points.shape[1]
    rows, columns = cells.shape
    return Workspace(
        np.empty((3, 3), np.float32),
        np.empty(17 * LANES, np.float32),
        np.empty(2 * LANES, np.int32),
        np.empty(2 * LANES, np.uint64),
        np.empty((groups, slots, 4 * LANES), np.float32),
        np.empty((groups, 12 * LANES), np.float32),
        np.empty(cells.rows.shape[0]),
        np.empty((3, rows + 1, columns + 1, 4)),
        np.empty(SCRATCH),
        np.empty((groups, 9 * LANES), np.float32),
        np.empty(36 * LANES, np.float32),
    )


@numba.njit(**SIMPLE)
def compare(volume, cells, voxel_from_image, centre, work, order):  # noqa: ANN001, ANN201 (compiled)
    """LNCC of the frame in `Cells` and the `PackedVolume` at a pose, and the share of the frame that it covers.

    ``centre`` (3,) is the image centre, mm in the image, ``voxel_from_image`` (4, 4). Derivatives up to ``order``, 0, 1
    or 2, are then made of the `Workspace` ``work`` by `slope` and `curvature`. LNCC is 0, and so are they, where no
    window counts.
    """
    for axis in range(3):
        work.plane[axis, 0], work.plane[axis, 1] = voxel_from_image[axis, 0], voxel_from_image[axis, 1]
        at_centre = voxel_from_image[axis, 0] * centre[0] + voxel_from_image[axis, 1] * centre[1]
        work.plane[axis, 2] = at_centre + voxel_from_image[axis, 3] + 1.0  # for the border
    _sample(volume, cells, work, order)
    shown = _tabulate(cells, work)
    total, weights = correlate(
        work.tables, cells.rows, cells.columns, work.counts, cells.reach, cells.size, work.windows
    )
    share = 1.0 / weights if weights > 0.0 else 0.0
    if order > 0:
        _pull(cells, share, work, order)
    return total * share, shown / max(cells.valid, 1)


@numba.njit(**SIMPLE)
def slope(cells, codes_per_mm, work):  # noqa: ANN001, ANN201 (compiled)
    """Slope (6,) of LNCC by the motion (mm, rad); ``codes_per_mm`` (3, 3) takes image axes to voxel axes and codes."""
    sums = np.zeros((3, 3))
    for group in range(cells.x.shape[0]):
        _add_up_pulls(work.pulls[group], cells.x[group], cells.y[group], sums)
    return motion_of(sums, codes_per_mm)


@numba.njit(**SIMPLE)
def motion_of(sums, codes_per_mm):  # noqa: ANN001, ANN201 (compiled)
    """The slope (6,) by the motion, from the sums of f g, f g x and f g y, one a row, with g in voxel axes."""
    result = np.empty(6)
    by_motion = np.zeros((3, 3))
    for row in range(3):
        for axis in range(3):
            for voxel_axis in range(3):
                by_motion[row, axis] += sums[row, voxel_axis] * codes_per_mm[voxel_axis, axis]
    result[:3] = by_motion[0]
    result[3], result[4], result[5] = by_motion[2, 2], -by_motion[1, 2], by_motion[1, 1] - by_motion[2, 0]
    return result


@numba.njit(**SIMPLE)
def curvature(cells, codes_per_mm, work):  # noqa: ANN001, ANN201 (compiled)
    """Gauss-Newton curvature (6, 6) of 1 - LNCC by the motion (mm, rad)."""
    totals = np.empty(36)
    for moment in range(36):
        totals[moment] = _sum(work.moments[moment * LANES : (moment + 1) * LANES])
    # Of 1, x, y, x^2, xy, y^2: sum G, first its entries xx, yy, zz, xy, xz, yz, then turned into image axes.
    turned = np.empty((6, 3, 3))
    product = np.empty((3, 3))
    for moment in range(6):
        xx, yy, zz, xy, xz, yz = totals[6 * moment : 6 * moment + 6]
        product[0, 0], product[0, 1], product[0, 2] = xx, xy, xz
        product[1, 0], product[1, 1], product[1, 2] = xy, yy, yz
        product[2, 0], product[2, 1], product[2, 2] = xz, yz, zz
        _turn(product, codes_per_mm, turned[moment])
    one, x, y, xx, xy, yy = turned
    # p x g = (y gz, -x gz, x gy - y gx)
    result = np.empty((6, 6))
    result[:3, :3] = one
    for axis in range(3):
        result[axis, 3], result[axis, 4] = y[axis, 2], -x[axis, 2]
        result[axis, 5] = x[axis, 1] - y[axis, 0]
    result[3, 3], result[4, 4], result[3, 4] = yy[2, 2], xx[2, 2], -xy[2, 2]
    result[3, 5], result[4, 5] = xy[1, 2] - yy[0, 2], xy[0, 2] - xx[1, 2]
    result[5, 5] = xx[1, 1] - 2.0 * xy[0, 1] + yy[0, 0]
    for row in range(6):
        for column in range(row):
            result[row, column] = result[column, row]
    return result


@numba.njit(**LANEWISE)
def _sum(values):  # noqa: ANN001, ANN202 (compiled)
    total = np.float32(0.0)
    for i in range(LANES):
        total += values[i]
    return total


@numba.njit(**SIMPLE)
def _turn(matrix, turn, turned):  # noqa: ANN001, ANN202 (compiled)
    """turn^T matrix turn, 3 by 3; for so small ones a call of BLAS takes longer than the product."""
    for row in range(3):
        for column in range(3):
            total = 0.0
            for i in range(3):
                for j in range(3):
                    total += turn[i, row] * matrix[i, j] * turn[j, column]
            turned[row, column] = total


@numba.njit(**SIMPLE)
def _sample(volume, cells, work, order):  # noqa: ANN001, ANN202 (compiled)
    """The first sweep: the volume at all points, and the sums of each cell."""
    # The same offset for both images: theirs are alike, and any that is near keeps the sums of squares exact.
    step, shift = np.float32(volume.step), np.float32(volume.darkest - volume.step - cells.mean)
    shape = volume.words.shape
    words = volume.words.reshape(-1)
    x, y, points = cells.x.reshape(-1), cells.y.reshape(-1), cells.points.reshape(-1)
    sampled, sums, slots = work.sampled.reshape(-1), work.sums.reshape(-1), cells.points.shape[1]
    sums[:] = np.float32(0.0)
    for group in range(cells.points.shape[0]):
        lanes, of_cells = np.uint32(group * LANES), np.uint32(group * 12 * LANES)
        for slot in range(slots):
            of_frame = np.uint32((group * slots + slot) * 2 * LANES)
            here = np.uint32((group * slots + slot) * 4 * LANES)
            right, down = _beside(cells, slot)
            _locate(x, y, lanes, right, down, work.plane, shape, work.scratch, work.index)
            _fetch(words, work.index, work.words)
            _unpack(work.words, work.scratch)
            if order > 0:
                _blend(work.scratch, points, of_frame, step, shift, sampled, here)
            else:
                _blend_values(work.scratch, points, of_frame, step, shift, sampled, here)
            _add_products(work.scratch, sampled, here, sums, of_cells)
            if order > 1:
                _add_gradients(sampled, here, sums, of_cells)


@numba.njit(**SIMPLE)
def _tabulate(cells, work):  # noqa: ANN001, ANN202 (compiled)
    """Bring the sums of the cells to their places on the grid; returns how many points both images show."""
    work.tables[:] = 0.0
    sums, squares, _ = work.tables
    total = 0.0
    for index in range(cells.rows.shape[0]):
        of_group, lane = work.sums[index // LANES], index % LANES
        here = sums[cells.rows[index] + 1, cells.columns[index] + 1]
        here[0], here[1], here[2] = of_group[lane], of_group[lane + LANES], of_group[lane + 2 * LANES]
        here[3] = of_group[lane + 5 * LANES]
        here = squares[cells.rows[index] + 1, cells.columns[index] + 1]
        here[0], here[1] = of_group[lane + 3 * LANES], of_group[lane + 4 * LANES]
        work.counts[index] = of_group[lane]
        total += of_group[lane]
    return total


@numba.njit(**SIMPLE)
def _pull(cells, share, work, order):  # noqa: ANN001, ANN202 (compiled)
    """The second sweep: what each cell adds to the slope and to the curvature; ``share`` is one over all weights."""
    work.moments[:] = np.float32(0.0)
    middle_x = np.float32(0.5 * (cells.size - 1) * cells.step[0])
    middle_y = np.float32(0.5 * (cells.size - 1) * cells.step[1])
    x, y, points = cells.x.reshape(-1), cells.y.reshape(-1), cells.points.reshape(-1)
    sampled, sums, pulls = work.sampled.reshape(-1), work.sums.reshape(-1), work.pulls.reshape(-1)
    coefficients = work.tables[2]
    slots, count = cells.points.shape[1], cells.rows.shape[0]
    pulls[:] = np.float32(0.0)
    for group in range(cells.points.shape[0]):
        lanes, of_cells = np.uint32(group * LANES), np.uint32(group * 12 * LANES)
        pulled = np.uint32(group * 9 * LANES)
        work.scratch[COEFFICIENTS:] = np.float32(0.0)
        for index in range(group * LANES, min((group + 1) * LANES, count)):
            lane = np.uint32(index - group * LANES)
            of_a, of_b, of_one, of_square = collect(coefficients, cells.rows[index], cells.columns[index], cells.reach)
            work.scratch[lane + COEFFICIENTS] = share * of_a
            work.scratch[lane + COEFFICIENTS + LANES] = share * of_b
            work.scratch[lane + COEFFICIENTS + 2 * LANES] = share * of_one
            work.scratch[lane + COEFFICIENTS + 3 * LANES] = share * of_square
        for slot in range(slots):
            of_frame = np.uint32((group * slots + slot) * 2 * LANES)
            here = np.uint32((group * slots + slot) * 4 * LANES)
            right, down = _beside(cells, slot)
            _add_pulls(work.scratch, points, of_frame, sampled, here, right, down, pulls, pulled)
        if order > 1:
            _add_moments(work.scratch, sums, of_cells, x, y, lanes, middle_x, middle_y, work.moments)


@numba.njit(**LANEWISE)
def _beside(cells, slot):  # noqa: ANN001, ANN202 (compiled)
    """How far the points of a slot are beside the first ones of their cells, mm."""
    return np.float32(cells.step[0] * (slot % cells.size)), np.float32(cells.step[1] * (slot // cells.size))


@numba.njit(**LANEWISE)
def _locate(x, y, lanes, beyond_x, beyond_y, plane, shape, scratch, index):  # noqa: ANN001, ANN202 (compiled)
    """The words of the points (beyond_x, beyond_y) mm beside those at ``x`` and ``y``, and the places in them."""
    xx, xy, x0 = plane[0, 0], plane[0, 1], plane[0, 2]
    yx, yy, y0 = plane[1, 0], plane[1, 1], plane[1, 2]
    zx, zy, z0 = plane[2, 0], plane[2, 1], plane[2, 2]
    last = np.float32(0.99)  # of the last word, which never has data
    width, height = np.float32(2 * shape[2] - 1) + last, np.float32(2 * shape[1] - 1) + last
    depth = np.float32(2 * shape[0] - 2) + last
    to_row, to_layer = np.int32(4 * shape[2]), np.int32(4 * shape[1] * shape[2])  # half as far as to the next brick
    row_back, layer_back, beyond = np.int32(to_row - 2), np.int32(to_layer - 4), np.int32(2 * to_layer - 8)
    zero, one, four = np.float32(0.0), np.int32(1), np.int32(4)
    for i in range(LANES):
        right, down = x[lanes + i] + beyond_x, y[lanes + i] + beyond_y
        u, v, w = xx * right + xy * down + x0, yx * right + yy * down + y0, zx * right + zy * down + z0
        u = u if u > zero else zero  # NaN as well
        v = v if v > zero else zero
        w = w if w > zero else zero
        u = u if u < width else width
        v = v if v < height else height
        w = w if w < depth else depth
        column, row, layer = np.int32(u), np.int32(v), np.int32(w)
        scratch[i] = u - np.float32(column)
        scratch[i + LANES] = v - np.float32(row)
        scratch[i + 2 * LANES] = w - np.float32(layer)
        in_row = np.int32(np.int32(4 * column) - np.int32(3 * np.int32(column & one)))
        in_layer = np.int32(np.int32(row * to_row) - np.int32(np.int32(row & one) * row_back))
        odd = np.int32(layer & one)
        near = np.int32(np.int32(layer * to_layer) - np.int32(odd * layer_back))
        near = np.int32(near + np.int32(in_row + in_layer))
        index[i] = near
        index[i + LANES] = np.int32(near + np.int32(np.int32(odd * beyond) + four))


@numba.njit(**LANEWISE)
def _fetch(words, index, fetched):  # noqa: ANN001, ANN202 (compiled)
    """The words of each point, in its layer and in the next."""
    for i in range(2 * LANES):
        fetched[i] = words[np.uint64(index[i])]


@numba.njit(**LANEWISE)
def _unpack(fetched, scratch):  # noqa: ANN001, ANN202 (compiled)
    """The codes of the corners: for each of the four of a layer, that of the near layer, then the next one's."""
    for i in range(2 * LANES):
        low, high = np.uint32(fetched[i]), np.uint32(fetched[i] >> np.uint64(32))
        scratch[i + CORNERS] = np.float32(np.int32(low & np.uint32(0xFFFF)))
        scratch[i + CORNERS + 2 * LANES] = np.float32(np.int32(low >> np.uint32(16)))
        scratch[i + CORNERS + 4 * LANES] = np.float32(np.int32(high & np.uint32(0xFFFF)))
        scratch[i + CORNERS + 6 * LANES] = np.float32(np.int32(high >> np.uint32(16)))


@numba.njit(**LANEWISE)
def _blend(scratch, points, of_frame, step, shift, sampled, here):  # noqa: ANN001, ANN202 (compiled)
    """Trilinear interpolation, and its exact derivative; both times 0 where the frame or the volume shows nothing."""
    zero = np.float32(0.0)
    for i in range(LANES):
        fx, fy, fz = scratch[i], scratch[i + LANES], scratch[i + 2 * LANES]
        c000, c100 = scratch[i + CORNERS], scratch[i + CORNERS + LANES]
        c001, c101 = scratch[i + CORNERS + 2 * LANES], scratch[i + CORNERS + 3 * LANES]
        c010, c110 = scratch[i + CORNERS + 4 * LANES], scratch[i + CORNERS + 5 * LANES]
        c011, c111 = scratch[i + CORNERS + 6 * LANES], scratch[i + CORNERS + 7 * LANES]
        shown = points[of_frame + i + LANES]
        shown = shown if c000 > zero else zero
        shown = shown if c100 > zero else zero
        d00, d01, d10, d11 = c001 - c000, c011 - c010, c101 - c100, c111 - c110
        e00, e01, e10, e11 = c000 + fx * d00, c010 + fx * d01, c100 + fx * d10, c110 + fx * d11
        h0, h1 = e01 - e00, e11 - e10
        near, far = e00 + fy * h0, e10 + fy * h1
        dx0, dx1 = d00 + fy * (d01 - d00), d10 + fy * (d11 - d10)
        sampled[here + i] = shown * (step * (near + fz * (far - near)) + shift)
        sampled[here + i + LANES] = shown * (dx0 + fz * (dx1 - dx0))
        sampled[here + i + 2 * LANES] = shown * (h0 + fz * (h1 - h0))
        sampled[here + i + 3 * LANES] = shown * (far - near)
        scratch[i + SHOWN] = shown
        scratch[i + SHOWN + LANES] = shown * points[of_frame + i]


@numba.njit(**LANEWISE)
def _blend_values(scratch, points, of_frame, step, shift, sampled, here):  # noqa: ANN001, ANN202 (compiled)
    """`_blend` without the derivative; the same to the last digit."""
    zero = np.float32(0.0)
    for i in range(LANES):
        fx, fy, fz = scratch[i], scratch[i + LANES], scratch[i + 2 * LANES]
        c000, c100 = scratch[i + CORNERS], scratch[i + CORNERS + LANES]
        c001, c101 = scratch[i + CORNERS + 2 * LANES], scratch[i + CORNERS + 3 * LANES]
        c010, c110 = scratch[i + CORNERS + 4 * LANES], scratch[i + CORNERS + 5 * LANES]
        c011, c111 = scratch[i + CORNERS + 6 * LANES], scratch[i + CORNERS + 7 * LANES]
        shown = points[of_frame + i + LANES]
        shown = shown if c000 > zero else zero
        shown = shown if c100 > zero else zero
        e00, e01 = c000 + fx * (c001 - c000), c010 + fx * (c011 - c010)
        e10, e11 = c100 + fx * (c101 - c100), c110 + fx * (c111 - c110)
        near, far = e00 + fy * (e01 - e00), e10 + fy * (e11 - e10)
        sampled[here + i] = shown * (step * (near + fz * (far - near)) + shift)
        scratch[i + SHOWN] = shown
        scratch[i + SHOWN + LANES] = shown * points[of_frame + i]


@numba.njit(**LANEWISE)
def _add_products(scratch, sampled, here, sums, of_cells):  # noqa: ANN001, ANN202 (compiled)
    """Add a slot's points to the sums of their cells."""
    for i in range(LANES):
        shown, a, b = scratch[i + SHOWN], scratch[i + SHOWN + LANES], sampled[here + i]
        sums[of_cells + i] += shown
        sums[of_cells + i + LANES] += a
        sums[of_cells + i + 2 * LANES] += b
        sums[of_cells + i + 3 * LANES] += a * a
        sums[of_cells + i + 4 * LANES] += b * b
        sums[of_cells + i + 5 * LANES] += a * b


@numba.njit(**LANEWISE)
def _add_gradients(sampled, here, sums, of_cells):  # noqa: ANN001, ANN202 (compiled)
    """Add the products of a slot's gradients, xx, yy, zz, xy, xz, yz, to the sums of their cells."""
    for i in range(LANES):
        gx, gy, gz = sampled[here + i + LANES], sampled[here + i + 2 * LANES], sampled[here + i + 3 * LANES]
        sums[of_cells + i + 6 * LANES] += gx * gx
        sums[of_cells + i + 7 * LANES] += gy * gy
        sums[of_cells + i + 8 * LANES] += gz * gz
        sums[of_cells + i + 9 * LANES] += gx * gy
        sums[of_cells + i + 10 * LANES] += gx * gz
        sums[of_cells + i + 11 * LANES] += gy * gz


@numba.njit(**LANEWISE)
def _add_pulls(scratch, points, of_frame, sampled, here, right, down, pulls, pulled):  # noqa: ANN001, ANN202 (compiled)
    """Add f g, f g x and f g y of a slot's points, (right, down) mm beside the first ones, to those of their cells."""
    for i in range(LANES):
        f = scratch[i + COEFFICIENTS] * points[of_frame + i] - scratch[i + COEFFICIENTS + LANES] * sampled[here + i]
        f += scratch[i + COEFFICIENTS + 2 * LANES]
        px, py, pz = f * sampled[here + i + LANES], f * sampled[here + i + 2 * LANES], f * sampled[here + i + 3 * LANES]
        pulls[pulled + i] += px
        pulls[pulled + i + LANES] += py
        pulls[pulled + i + 2 * LANES] += pz
        pulls[pulled + i + 3 * LANES] += right * px
        pulls[pulled + i + 4 * LANES] += right * py
        pulls[pulled + i + 5 * LANES] += right * pz
        pulls[pulled + i + 6 * LANES] += down * px
        pulls[pulled + i + 7 * LANES] += down * py
        pulls[pulled + i + 8 * LANES] += down * pz


@numba.njit(**LANEWISE)
def _add_up_pulls(pulls, x, y, sums):  # noqa: ANN001, ANN202 (compiled)
    """Add the pulls of a group's cells to the ``sums`` (3, 3) of f g, f g x, f g y, x and y now from the centre."""
    for axis in range(3):
        total = by_x = by_y = 0.0
        for i in range(LANES):
            pull = np.float64(pulls[i + axis * LANES])
            total += pull
            by_x += x[i] * pull + pulls[i + (axis + 3) * LANES]
            by_y += y[i] * pull + pulls[i + (axis + 6) * LANES]
        sums[0, axis] += total
        sums[1, axis] += by_x
        sums[2, axis] += by_y


@numba.njit(**LANEWISE)
def _add_moments(scratch, sums, of_cells, x, y, lanes, middle_x, middle_y, moments):  # noqa: ANN001, ANN202 (compiled)
    """Add G, times 1, x, y, x^2, x y and y^2 of the cell's middle, to the ``moments`` of each lane."""
    for entry in range(6):
        for i in range(LANES):
            g = scratch[i + COEFFICIENTS + 3 * LANES] * sums[of_cells + i + (6 + entry) * LANES]
            at_x, at_y = x[lanes + i] + middle_x, y[lanes + i] + middle_y
            moments[i + entry * LANES] += g
            moments[i + (6 + entry) * LANES] += g * at_x
            moments[i + (12 + entry) * LANES] += g * at_y
            moments[i + (18 + entry) * LANES] += g * at_x * at_x
            moments[i + (24 + entry) * LANES] += g * at_x * at_y
            moments[i + (30 + entry) * LANES] += g * at_y * at_y
