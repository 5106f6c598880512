"""One evaluation as others make it, written plainly: as the paper's authors do, and with SimpleITK and SciPy."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.slicing import Lattice, SampledVolume
from deeprs2v_ros.imaging.volume import Volume, to_image

WINDOW = 51
"""Pixels: side of the authors' window of LNCC."""

NOISE = (2.0 / 255.0) ** 2


class WholeVolume:
    """The authors' way: the whole volume is resampled to the frame's grid, one slice of which is then compared.

    LNCC is taken in dense windows by convolution, its derivative by the six parameters by automatic differentiation.
    """

    def __init__(self, volume: SampledVolume, lattice: Lattice, frame: NDArray[np.float32]) -> None:
        array = np.nan_to_num(volume.array)
        self._volume = torch.from_numpy(array)[None, None]
        self._size = torch.tensor(array.shape[::-1], dtype=torch.float32)
        self._frame = torch.from_numpy(np.ascontiguousarray(frame))[None, None]
        self._window = torch.ones(5, 1, WINDOW, WINDOW)
        self._voxel_from_volume = volume.voxel_from_volume
        self.points = array.shape[0] * lattice.shape[0] * lattice.shape[1]
        depth = lattice.spacing[0] * (np.arange(array.shape[0]) - array.shape[0] // 2)
        z, y, x = np.meshgrid(depth, lattice.y, lattice.x, indexing="ij")
        self._points = torch.from_numpy(np.stack([x, y, z, np.ones_like(x)], axis=-1).astype(np.float32))

    def iterate(self, pose: Array) -> tuple[float, NDArray[np.float32]]:
        """LNCC at ``pose`` and its gradient by the motion of the plane, (6,) mm and rad, about the image's origin."""
        motion = torch.zeros(6, requires_grad=True)
        x, y, z, a, b, c = motion
        zero = torch.zeros(())
        rows = ((zero, -c, b, x), (c, zero, -a, y), (-b, a, zero, z), (zero, zero, zero, zero))
        moved = torch.matrix_exp(torch.stack([torch.stack(row) for row in rows]))
        voxel_from_image = torch.from_numpy((self._voxel_from_volume @ pose).astype(np.float32))
        voxels = self._points @ (voxel_from_image @ moved)[:3].T
        grid = 2.0 * voxels / (self._size - 1.0) - 1.0
        sampled = functional.grid_sample(self._volume, grid[None], align_corners=True)
        value = self._lncc(sampled[:, :, self._volume.shape[2] // 2])
        value.backward()
        return float(value.detach()), motion.grad.numpy()

    def _lncc(self, moving: torch.Tensor) -> torch.Tensor:
        fixed, n = self._frame, float(WINDOW * WINDOW)
        products = torch.cat([fixed, moving, fixed * fixed, moving * moving, fixed * moving], dim=1)
        # Each product by itself is three times as fast in one call as in five.
        a, b, aa, bb, ab = functional.conv2d(products, self._window, padding=WINDOW // 2, groups=5)[0] / n
        return ((ab - a * b) / torch.sqrt((aa - a * a + NOISE) * (bb - b * b + NOISE))).mean()


class PlaneAndBoxes:
    """SimpleITK resamples the plane, SciPy filters the five products with boxes: LNCC without any derivative."""

    def __init__(self, volume: SampledVolume, lattice: Lattice, frame: NDArray[np.float32], window: int) -> None:
        volume_from_voxel = np.linalg.inv(volume.voxel_from_volume)
        spacing = np.linalg.norm(volume_from_voxel[:3, :3], axis=0)
        direction = volume_from_voxel[:3, :3] / spacing
        self._image = to_image(Volume(np.nan_to_num(volume.array), spacing, volume_from_voxel[:3, 3], direction))
        self._lattice, self._frame, self._window = lattice, frame, window

    def evaluate(self, pose: Array) -> float:
        """LNCC at ``pose``."""
        resample = sitk.ResampleImageFilter()
        resample.SetNumberOfThreads(1)
        resample.SetSize([*self._lattice.shape[::-1], 1])
        resample.SetOutputSpacing([*self._lattice.spacing, 1.0])
        origin = pose @ [*self._lattice.origin, 0.0, 1.0]
        resample.SetOutputOrigin(origin[:3].tolist())
        resample.SetOutputDirection(pose[:3, :3].ravel().tolist())
        moving, fixed = sitk.GetArrayFromImage(resample.Execute(self._image))[0], self._frame
        a, b, aa, bb, ab = (
            ndimage.uniform_filter(product, self._window)
            for product in (fixed, moving, fixed * fixed, moving * moving, fixed * moving)
        )
        return float(np.mean((ab - a * b) / np.sqrt((aa - a * a + NOISE) * (bb - b * b + NOISE))))
