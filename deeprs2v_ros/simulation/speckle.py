"""Echoes of the scatterers in the tissue, as a curvilinear probe receives them.

Every cell of an endless lattice that is fixed in the tissue holds one point scatterer. Its place in the cell and its
sign are a hash of (seed, cell), so nothing is stored, and the same tissue gives the same speckle from every side: what
changes with the view is only how the probe's point-spread function weighs and sums the scatterers. Its out-of-plane
profile and the phase of the carrier are applied here, exactly; the pulse and the beam within the plane afterwards, by
filters on the grid of ranges and lines.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.simulation.breathing import deformation
from deeprs2v_ros.simulation.hashing import scramble
from deeprs2v_ros.simulation.turns import sine_of_turns

ELEVATION_CUT = 2.5  # scatterers further out of plane than this many sigmas are left out (-27 dB)
_PRIMES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
_LOW_21, _BITS_21, _BITS_42, _TOP = np.uint64(0x1FFFFF), np.uint64(21), np.uint64(42), np.uint64(63)
_PER_2_21 = 1.0 / 2097152.0


class Beam(NamedTuple):
    """The probe as the kernels see it; mm, radians, dB."""

    apex_x: float
    apex_y: float
    radius: float
    depth: float
    half_angle: float
    range_step: float
    line_step: float
    margin: int  # grid cells beyond the fan on every side, for the filters
    ranges: int
    lines: int
    turns_per_mm: float  # of the carrier, there and back
    focus: float
    elevation_at_focus: float
    depth_of_focus: float


class Medium(NamedTuple):
    """A tissue, its lattice and its motion as the kernels see them.

    ``image_from_rest`` (3, 4) maps tissue at rest (after its deformation by ``waves``) to the image frame in mm.
    A scatterer counts where ``side * (w . p - limit) > 0`` with ``w`` = ``across``, p in the image frame: the two sides
    of the face between abdominal wall and organ.
    """

    echogenicity: NDArray
    attenuation: NDArray
    origin: Array
    spacing: float
    seed: np.uint64
    image_from_rest: Array
    waves: Array
    across: Array
    limit: float
    side: float


@njit(nogil=True, cache=True, inline="always")
def elevation_sigma(depth: float, beam: Beam) -> float:
    """Standard deviation (mm) of the out-of-plane amplitude profile, there and back, at a ``depth`` (mm)."""
    off_focus = (depth - beam.focus) / beam.depth_of_focus
    return beam.elevation_at_focus * math.sqrt(1.0 + off_focus * off_focus)


@njit(nogil=True, cache=True, inline="always")
def clamp(index: int, size: int) -> int:
    """The index of the voxel, of ``size`` along an axis, that is nearest to ``index``."""
    return min(max(index, 0), size - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def add_echoes(grid: NDArray, beam: Beam, medium: Medium) -> None:
    """Add the echoes of a ``medium`` to ``grid``, float32 (ranges, lines, 2): real and imaginary part at baseband.

    The lattice is visited column by column, along the axis that is most normal to the image plane, so that only cells
    within the beam's thickness are touched.
    """
    m, h = medium.image_from_rest, medium.spacing
    inner = 0
    for axis in (1, 2):
        if abs(m[2, axis]) > abs(m[2, inner]):
            inner = axis
    first, second = (inner + 1) % 3, (inner + 2) % 3
    # In units of cells: image point = cell @ index + base
    cell = m[:, :3] * h
    base = cell @ (medium.origin / h) + m[:, 3]
    low, high = _outline(beam, cell, base, first, second, medium.waves)
    reach_max = ELEVATION_CUT * max(elevation_sigma(0.0, beam), elevation_sigma(beam.depth, beam))
    jitter = 0.5 * (abs(cell[2, 0]) + abs(cell[2, 1]) + abs(cell[2, 2])) + 0.25
    slant = math.hypot(cell[0, inner], cell[1, inner]) / abs(cell[2, inner])
    slack = slant * reach_max + 2.0 * h + np.abs(medium.waves[:, 4:]).sum()
    size = np.array([medium.echogenicity.shape[2], medium.echogenicity.shape[1], medium.echogenicity.shape[0]])
    index = np.zeros(3, dtype=np.int64)
    for b in range(low[0], high[0] + 1):
        for c in range(low[1], high[1] + 1):
            index[first], index[second] = b, c
            px = base[0] + cell[0, first] * b + cell[0, second] * c
            py = base[1] + cell[1, first] * b + cell[1, second] * c
            pz = base[2] + cell[2, first] * b + cell[2, second] * c
            middle = -pz / cell[2, inner]  # where the column meets the plane
            cx = px + cell[0, inner] * middle - beam.apex_x
            cy = py + cell[1, inner] * middle - beam.apex_y
            distance = math.hypot(cx, cy)
            if distance < beam.radius - slack or distance > beam.radius + beam.depth + slack or cy <= 0.0:
                continue
            if distance * math.sin(min(abs(math.atan2(cx, cy)) - beam.half_angle, 1.5)) > slack:
                continue
            wall = medium.across[0] * (cx + beam.apex_x) + medium.across[1] * (cy + beam.apex_y) - medium.limit
            if medium.side * wall < -(reach_max + slack):
                continue
            rx = medium.origin[0] + h * (middle if inner == 0 else index[0])
            ry = medium.origin[1] + h * (middle if inner == 1 else index[1])
            rz = medium.origin[2] + h * (middle if inner == 2 else index[2])
            ux, uy, uz = deformation(rx, ry, rz, medium.waves)
            middle -= (m[2, 0] * ux + m[2, 1] * uy + m[2, 2] * uz) / cell[2, inner]
            reach = ELEVATION_CUT * elevation_sigma(distance - beam.radius, beam) + jitter
            half = reach / abs(cell[2, inner])
            for a in range(math.ceil(middle - half), math.floor(middle + half) + 1):
                index[inner] = a
                key = scramble(
                    medium.seed
                    + np.uint64(index[0]) * _PRIMES[0]
                    + np.uint64(index[1]) * _PRIMES[1]
                    + np.uint64(index[2]) * _PRIMES[2]
                )
                i = index[0] + np.float64(np.int64(key & _LOW_21)) * _PER_2_21 - 0.5
                j = index[1] + np.float64(np.int64((key >> _BITS_21) & _LOW_21)) * _PER_2_21 - 0.5
                k = index[2] + np.float64(np.int64((key >> _BITS_42) & _LOW_21)) * _PER_2_21 - 0.5
                x, y, z = medium.origin[0] + h * i, medium.origin[1] + h * j, medium.origin[2] + h * k
                ux, uy, uz = deformation(x, y, z, medium.waves)
                x, y, z = x + ux, y + uy, z + uz
                off = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
                right = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
                down = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
                wall = medium.across[0] * right + medium.across[1] * down + medium.across[2] * off
                if medium.side * (wall - medium.limit) <= 0.0:
                    continue
                right, down = right - beam.apex_x, down - beam.apex_y
                depth = math.sqrt(right * right + down * down) - beam.radius
                sigma = elevation_sigma(depth, beam)
                if abs(off) > ELEVATION_CUT * sigma:
                    continue
                row = depth / beam.range_step + beam.margin
                column = (math.atan2(right, down) + beam.half_angle) / beam.line_step + beam.margin
                top, left = math.floor(row), math.floor(column)
                if top < 0 or left < 0 or top >= beam.ranges - 1 or left >= beam.lines - 1:
                    continue
                echo = medium.echogenicity[clamp(index[2], size[2]), clamp(index[1], size[1]), clamp(index[0], size[0])]
                amplitude = echo * math.exp(-0.5 * (off / sigma) ** 2)
                if key >> _TOP:
                    amplitude = -amplitude
                phase = depth * beam.turns_per_mm
                real, imaginary = amplitude * sine_of_turns(phase + 0.25), -amplitude * sine_of_turns(phase)
                lower, righter = row - top, column - left
                upper, lefter = 1.0 - lower, 1.0 - righter
                grid[top, left, 0] += upper * lefter * real
                grid[top, left, 1] += upper * lefter * imaginary
                grid[top, left + 1, 0] += upper * righter * real
                grid[top, left + 1, 1] += upper * righter * imaginary
                grid[top + 1, left, 0] += lower * lefter * real
                grid[top + 1, left, 1] += lower * lefter * imaginary
                grid[top + 1, left + 1, 0] += lower * righter * real
                grid[top + 1, left + 1, 1] += lower * righter * imaginary


@njit(nogil=True, cache=True)
def _outline(
    beam: Beam, cell: Array, base: Array, first: int, second: int, waves: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bounds of the fan's plane in the lattice, along the two outer axes, with room for beam width and deformation."""
    to_cell = np.linalg.inv(cell)
    room = np.abs(to_cell).sum(axis=1) * (4.0 + np.abs(waves[:, 4:]).sum())
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for distance in (beam.radius, beam.radius + beam.depth):
        for share in np.linspace(-1.0, 1.0, 17):
            angle = share * beam.half_angle
            point = np.array([beam.apex_x + distance * math.sin(angle), beam.apex_y + distance * math.cos(angle), 0.0])
            place = to_cell @ (point - base)
            low, high = np.minimum(low, place - room), np.maximum(high, place + room)
    outer = np.array([first, second])
    return np.floor(low[outer]).astype(np.int64), np.ceil(high[outer]).astype(np.int64)
