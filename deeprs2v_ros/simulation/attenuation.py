"""What is lost on the way into the tissue and back, and the receiver's noise."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.simulation.breathing import deformation
from deeprs2v_ros.simulation.hashing import scramble
from deeprs2v_ros.simulation.speckle import Beam, Medium, clamp

_EVERY = 4  # ranges between two looks at the tissue
_MASK_16 = np.uint64(0xFFFF)
_SHIFTS = (np.uint64(16), np.uint64(32), np.uint64(48))
_PER_2_15 = 1.0 / 32768.0


@njit(nogil=True, cache=True, inline="always")
def _loss(right: float, down: float, medium: Medium, rest_from_image: Array) -> float:
    """Loss (dB/mm) at a point of the image plane."""
    m = rest_from_image
    qx = m[0, 0] * right + m[0, 1] * down + m[0, 3]
    qy = m[1, 0] * right + m[1, 1] * down + m[1, 3]
    qz = m[2, 0] * right + m[2, 1] * down + m[2, 3]
    ux, uy, uz = deformation(qx, qy, qz, medium.waves)  # to first order: a tenth of a millimetre is enough here
    size = medium.attenuation.shape
    i = clamp(math.floor((qx - ux - medium.origin[0]) / medium.spacing + 0.5), size[2])
    j = clamp(math.floor((qy - uy - medium.origin[1]) / medium.spacing + 0.5), size[1])
    k = clamp(math.floor((qz - uz - medium.origin[2]) / medium.spacing + 0.5), size[0])
    return medium.attenuation[k, j, i]


@njit(nogil=True, cache=True, error_model="numpy")
def attenuate(
    grid: NDArray,
    beam: Beam,
    organ: Medium,
    organ_from_image: Array,
    wall: Medium,
    wall_from_image: Array,
    noise: float,
    key: np.uint64,
) -> None:
    """Weaken ``grid`` (ranges, lines, 2) by the loss summed along each line, then add noise of amplitude ``noise``.

    ``organ_from_image`` and ``wall_from_image`` (4, 4) map the image frame to the tissues at rest. The noise is a
    function of ``key`` and the grid cell.
    """
    for line in range(beam.lines):
        angle = (line - beam.margin) * beam.line_step - beam.half_angle
        sine, cosine = math.sin(angle), math.cos(angle)
        total, loss = 0.0, 0.0
        for row in range(beam.ranges):
            depth = (row - beam.margin) * beam.range_step
            if depth >= 0.0:
                if row % _EVERY == 0:
                    right = beam.apex_x + (beam.radius + depth) * sine
                    down = beam.apex_y + (beam.radius + depth) * cosine
                    side = organ.across[0] * right + organ.across[1] * down - organ.limit
                    if side > 0.0:
                        loss = _loss(right, down, organ, organ_from_image)
                    else:
                        loss = _loss(right, down, wall, wall_from_image)
                total += loss * beam.range_step
            left = math.exp(-0.11512925464970229 * total)  # ln(10) / 20
            bits = scramble(key + np.uint64(row * beam.lines + line))
            a, b = bits & _MASK_16, (bits >> _SHIFTS[0]) & _MASK_16
            c, d = (bits >> _SHIFTS[1]) & _MASK_16, bits >> _SHIFTS[2]
            grid[row, line, 0] = left * grid[row, line, 0] + noise * ((np.int64(a) + np.int64(b)) * _PER_2_15 - 2.0)
            grid[row, line, 1] = left * grid[row, line, 1] + noise * ((np.int64(c) + np.int64(d)) * _PER_2_15 - 2.0)


@njit(nogil=True, cache=True, error_model="numpy")
def compress(grid: NDArray, beam: Beam, gain_db: float, tgc_db: float, dynamic_range_db: float) -> NDArray:
    """Grey values (ranges, lines) uint8 of the envelope: gain, ``tgc_db`` per mm of depth, logarithmic compression."""
    grey = np.empty((beam.ranges, beam.lines), dtype=np.uint8)
    scale = np.float32(255.0 / dynamic_range_db)
    for row in range(beam.ranges):
        depth = max((row - beam.margin) * beam.range_step, 0.0)
        lift = np.float32((gain_db + tgc_db * depth + dynamic_range_db) * scale)
        for line in range(beam.lines):
            power = grid[row, line, 0] ** 2 + grid[row, line, 1] ** 2 + np.float32(1e-20)
            value = np.float32(4.3429448) * math.log(power) * scale + lift
            grey[row, line] = np.uint8(min(max(value, np.float32(0.0)), np.float32(255.0)))
    return grey
