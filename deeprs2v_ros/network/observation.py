"""What a network sees and says: a frame, the box of the volume around its plane, and the correction between them.

All three networks see the same. Frame and volume are sampled on one grid in image axes, true millimetres, centred at
the image centre: the frame on its plane z = 0, the volume, already moved to the initial pose, on all of it. So a
correction is a small motion d of the image about its centre, whatever the origin, direction and spacing of the files
were, and the registered pose is Y = X . d (equation 1 of the method).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.slicing import SampledVolume

LEAST_KNOWN = 0.99
"""Share of a point's interpolation weight that must come from data."""


@dataclass(frozen=True)
class Grid:
    """Points in image axes about the image centre: ``size`` (x, y, z) of them, ``spacing`` mm apart along each axis."""

    spacing: float
    size: tuple[int, int, int]

    @property
    def extent(self) -> Array:
        """Edge lengths (x, y, z) of the box, mm."""
        return self.spacing * np.array(self.size)

    def axis(self, index: int) -> Tensor:
        """Coordinates (mm) of the points along axis 0 (x), 1 (y) or 2 (z)."""
        count = self.size[index]
        return self.spacing * (torch.arange(count, dtype=torch.float32) - (count - 1) / 2.0)

    @cached_property
    def points(self) -> Tensor:
        """All points (z, y, x, 3), mm."""
        z, y, x = torch.meshgrid(self.axis(2), self.axis(1), self.axis(0), indexing="ij")
        return torch.stack([x, y, z], dim=-1)

    @cached_property
    def plane(self) -> Tensor:
        """The points of the frame, in the plane z = 0: (y, x, 3), mm."""
        return self.points[0] * torch.tensor([1.0, 1.0, 0.0])


@lru_cache(maxsize=16)
def points_on(device: torch.device, grid: Grid, plane: bool) -> Tensor:
    """All points of a ``grid``, or those of its ``plane``, on a ``device``, where they stay."""
    return (grid.plane if plane else grid.points).to(device)


class Observation(NamedTuple):
    """Input of a network: ``frame`` (batch, 2, y, x) and ``box`` (batch, 2, z, y, x).

    Channel 0 is intensity in [0, 1], 0 where nothing is known; channel 1 is 1 where something is known, otherwise 0.
    """

    frame: Tensor
    box: Tensor


class Estimate(NamedTuple):
    """Output of a network: ``correction`` (batch, 4, 4), d about the image centre in image axes, mm.

    ``covariance`` (batch, 6, 6) is that of the small motion by which d may be off, about the image centre after d, in
    image axes: translation (mm), then rotation vector (rad). The order is that of `geometry`.
    """

    correction: Tensor
    covariance: Tensor


def observe_frame(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], pixel_size: tuple[float, float], grid: Grid
) -> Tensor:
    """A frame (rows, columns) on the plane of the ``grid``: (2, y, x). ``pixel_size`` (x, y) is in mm.

    It is smoothed to the grid's spacing first, over valid pixels alone.
    """
    rows, columns = image.shape
    weight = mask.astype(np.float32)
    data = weight * image * np.float32(1 / 255)
    sigma = [0.4 * np.sqrt(max((grid.spacing / pixel) ** 2 - 1.0, 1e-4)) for pixel in pixel_size]
    maps = [
        ((grid.axis(axis).numpy() / pixel_size[axis]) + (count - 1) / 2.0).astype(np.float32)
        for axis, count in ((0, columns), (1, rows))
    ]
    x, y = np.meshgrid(*maps)
    data, weight = (
        cv2.remap(
            cv2.GaussianBlur(each, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1], borderType=cv2.BORDER_CONSTANT),
            x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        )
        for each in (data, weight)
    )  # fmt: skip
    known = weight > 0.5
    intensity = np.where(known, data / np.maximum(weight, 0.5), np.float32(0.0))
    return torch.from_numpy(np.stack([intensity, known.astype(np.float32)]))


class VolumeSpatialTransformer(torch.nn.Module):
    """Samples a volume on points moved by a rigid transform, trilinearly and differentiably.

    The volume's origin, direction and spacing are part of it, so that transforms are true millimetres; deep-learning
    grids have none of their own. Buffers: ``array`` (2, z, y, x), intensity and whether a voxel holds data, and
    ``voxel_from_volume`` (4, 4).
    """

    array: Tensor
    voxel_from_volume: Tensor

    def __init__(self, volume: SampledVolume) -> None:
        super().__init__()
        known = ~np.isnan(volume.array)
        array = np.stack([np.nan_to_num(volume.array, nan=0.0), known.astype(np.float32)])
        self.register_buffer("array", torch.from_numpy(array))
        self.register_buffer("voxel_from_volume", torch.from_numpy(volume.voxel_from_volume))

    def forward(self, volume_from_points: Tensor, points: Tensor) -> Tensor:
        """Intensity and known mask (batch, 2, ...) at ``points`` (..., 3) under ``volume_from_points`` (batch, 4, 4).

        Where a point's neighbours are not all known, both are 0.
        """
        voxel_from_volume = self.voxel_from_volume
        sampled = interpolate(self.array, voxel_from_volume @ volume_from_points.to(voxel_from_volume.dtype), points)
        known = (sampled[:, 1:] >= LEAST_KNOWN).to(sampled.dtype)
        return torch.cat([sampled[:, :1] * known, known], dim=1)

    def slice(self, volume_from_image: Tensor, grid: Grid) -> Tensor:
        """The volume slicing module: only the plane z = 0 of the ``grid``, (batch, 2, y, x)."""
        return self(volume_from_image, points_on(self.array.device, grid, plane=True))

    def box(self, volume_from_image: Tensor, grid: Grid) -> Tensor:
        """The whole ``grid``, (batch, 2, z, y, x)."""
        return self(volume_from_image, points_on(self.array.device, grid, plane=False))


def interpolate(array: Tensor, voxel_from_points: Tensor, points: Tensor) -> Tensor:
    """Trilinear values (batch, channels, ...) of an ``array`` (channels, z, y, x) at ``points`` (..., 3); 0 outside.

    ``voxel_from_points`` (batch, 4, 4) leads to indices (x, y, z) of the array.
    """
    batch, transform = len(voxel_from_points), voxel_from_points.to(points.dtype)
    voxels = points.reshape(1, -1, 3) @ transform[:, :3, :3].mT + transform[:, None, :3, 3]
    size = torch.tensor(array.shape[:0:-1], dtype=points.dtype, device=points.device)
    places = (2.0 * voxels / (size - 1.0).clamp(min=1.0) - 1.0).reshape(batch, 1, 1, -1, 3)
    sampled = torch.nn.functional.grid_sample(
        array.expand(batch, -1, -1, -1, -1), places, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return sampled.reshape(batch, len(array), *points.shape[:-1])
