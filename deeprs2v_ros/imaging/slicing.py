"""The volume slicing module: sample a volume on the plane of an image, and only there.

R[V, T] of the method. The plane is a lattice of points in the image frame; a rigid pose takes it into the volume, where
values are interpolated trilinearly. The spatial gradient is the exact derivative of that interpolant, in image axes,
so that it belongs to the sampled values to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array, rigid

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Lattice:
    """A regular grid of points in the plane z = 0 of the image frame.

    ``shape`` is (rows, columns), ``spacing`` the distance between points (x, y) mm, ``origin`` the image coordinates
    (x, y) mm of the first point.
    """

    shape: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float]

    @cached_property
    def image_from_lattice(self) -> Array:
        """4x4 map from (column, row, 0, 1) of the lattice to mm in the image frame."""
        scale = np.diag([*self.spacing, 1.0, 1.0])
        return rigid(translation=(*self.origin, 0.0)) @ scale

    @cached_property
    def x(self) -> Float32:
        """Image x of each column, shape (columns,) mm."""
        return (self.origin[0] + self.spacing[0] * np.arange(self.shape[1])).astype(np.float32)

    @cached_property
    def y(self) -> Float32:
        """Image y of each row, shape (rows,) mm."""
        return (self.origin[1] + self.spacing[1] * np.arange(self.shape[0])).astype(np.float32)


class Slice(NamedTuple):
    """What a plane shows of a volume.

    ``values`` (rows, columns); ``gradient`` (3, rows, columns), the derivative along x, y, z of the image frame per mm;
    ``mask`` (rows, columns), True where all eight voxels around the point hold data. Outside the mask, both are 0.
    """

    values: Float32
    gradient: Float32
    mask: NDArray[np.bool_]


class SampledVolume(NamedTuple):
    """A volume made ready for slicing: ``array`` (z, y, x) float32, NaN where there is no data, and its geometry."""

    array: Float32
    voxel_from_volume: Array


def take_slice(volume: SampledVolume, lattice: Lattice, volume_from_image: Array, mask: NDArray[np.bool_]) -> Slice:
    """Slice ``volume`` on ``lattice`` at the pose ``volume_from_image`` (4x4 mm), where ``mask`` is True."""
    voxel_from_image = volume.voxel_from_volume @ volume_from_image
    return Slice(
        *interpolate_plane(volume.array, voxel_from_image @ lattice.image_from_lattice, voxel_from_image[:3, :3], mask)
    )


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def interpolate_plane(volume, voxel_from_lattice, voxel_per_mm, mask):  # noqa: ANN001, ANN201 (compiled)
    """Values, gradient and mask of a `Slice`; ``voxel_per_mm`` (3, 3) maps image axes to voxel axes."""
    rows, columns = mask.shape
    depth, height, width = volume.shape
    values = np.zeros((rows, columns), np.float32)
    gradient = np.zeros((3, rows, columns), np.float32)
    valid = np.zeros((rows, columns), np.bool_)
    a = voxel_per_mm
    for row in range(rows):
        x0 = voxel_from_lattice[0, 1] * row + voxel_from_lattice[0, 3]
        y0 = voxel_from_lattice[1, 1] * row + voxel_from_lattice[1, 3]
        z0 = voxel_from_lattice[2, 1] * row + voxel_from_lattice[2, 3]
        for column in range(columns):
            if not mask[row, column]:
                continue
            x = x0 + voxel_from_lattice[0, 0] * column
            y = y0 + voxel_from_lattice[1, 0] * column
            z = z0 + voxel_from_lattice[2, 0] * column
            if not (0.0 <= x < width - 1 and 0.0 <= y < height - 1 and 0.0 <= z < depth - 1):
                continue
            i, j, k = int(x), int(y), int(z)
            fx, fy, fz = np.float32(x - i), np.float32(y - j), np.float32(z - k)
            c000, c001 = volume[k, j, i], volume[k, j, i + 1]
            c010, c011 = volume[k, j + 1, i], volume[k, j + 1, i + 1]
            c100, c101 = volume[k + 1, j, i], volume[k + 1, j, i + 1]
            c110, c111 = volume[k + 1, j + 1, i], volume[k + 1, j + 1, i + 1]
            d00, d01, d10, d11 = c001 - c000, c011 - c010, c101 - c100, c111 - c110
            e00, e01 = c000 + fx * d00, c010 + fx * d01
            e10, e11 = c100 + fx * d10, c110 + fx * d11
            g0, g1 = e00 + fy * (e01 - e00), e10 + fy * (e11 - e10)
            value = g0 + fz * (g1 - g0)
            if value != value:  # a corner without data
                continue
            dx0, dx1 = d00 + fy * (d01 - d00), d10 + fy * (d11 - d10)
            dx = dx0 + fz * (dx1 - dx0)
            dy = (e01 - e00) + fz * ((e11 - e10) - (e01 - e00))
            dz = g1 - g0
            values[row, column] = value
            gradient[0, row, column] = a[0, 0] * dx + a[1, 0] * dy + a[2, 0] * dz
            gradient[1, row, column] = a[0, 1] * dx + a[1, 1] * dy + a[2, 1] * dz
            gradient[2, row, column] = a[0, 2] * dx + a[1, 2] * dy + a[2, 2] * dz
            valid[row, column] = True
    return values, gradient, valid
