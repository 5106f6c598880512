"""The paper's preprocessing: isotropic resampling, centre crop or zero padding, intensities from 0 to 1, masks.

Where there is no data, values are 0 and take no part in interpolation: the resampled values are divided by the
resampled mask, so that the edge of the data does not fade to black.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, rigid
from deeprs2v_ros.imaging.volume import MOST_VOXELS, Volume

_DARKEST = np.float32(1.0 / 255.0)  # of data that would otherwise become 0, which means no data


@dataclass(frozen=True)
class PreparedFrame:
    """A frame after preprocessing: ``image`` float32 and ``mask`` bool (rows, columns), and its pixels' place (4x4)."""

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    image_from_pixel: Array


def preprocess_volume(volume: Volume, spacing: float, size: tuple[int, int, int]) -> Volume:
    """Resample to isotropic ``spacing`` (mm), crop or pad to ``size`` (x, y, z) and scale to [0, 1], float32.

    Raises InputError for a spacing or a size that is not positive, or makes too many voxels.
    """
    return crop_or_pad(scale_intensities(resample_isotropic(volume, spacing)), size)


def preprocess_frame(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], image_from_pixel: Array, spacing: float, size: tuple[int, int]
) -> PreparedFrame:
    """The same for a frame (rows, columns) with its valid area; ``size`` is (columns, rows).

    ``image_from_pixel`` (4x4) holds the pixel size. Outside the mask, the image is 0.
    Raises InputError for a spacing or a size that is not positive, or makes too many voxels.
    """
    pixel = np.linalg.norm(image_from_pixel[:3, :2], axis=0)
    values, valid = _resample(frame.astype(np.float32) / np.float32(255.0), mask, pixel, spacing)
    scale = np.diag([*(spacing / pixel), 1.0, 1.0])
    first = _first_index(values.shape, size)
    return PreparedFrame(
        _cut(values, first, size), _cut(valid, first, size), image_from_pixel @ scale @ rigid(translation=(*first, 0.0))
    )


def resample_isotropic(volume: Volume, spacing: float) -> Volume:
    """The volume with voxels of ``spacing`` mm along every axis, float32, trilinear; origin and direction are kept."""
    values, valid = _resample(volume.array.astype(np.float32), volume.array != 0, volume.spacing, spacing)
    values[valid & (values == 0)] = np.finfo(np.float32).tiny
    return Volume(values, np.full(3, float(spacing)), volume.origin, volume.direction)


def crop_or_pad(volume: Volume, size: tuple[int, int, int]) -> Volume:
    """Cut out, or pad with 0 to, ``size`` (x, y, z) voxels about the centre; nothing moves in space."""
    first = _first_index(volume.array.shape, size)
    origin = apply(volume.volume_from_voxel, first)
    return Volume(_cut(volume.array, first, size), volume.spacing, origin, volume.direction)


def scale_intensities(volume: Volume) -> Volume:
    """Grey values from [0, largest], or [smallest, largest] if some are negative, to [0, 1], float32.

    Data keep a value above 0, and voxels without data stay 0. Values that fit 8 bits are divided by 255, like frames.
    """
    array = volume.array.astype(np.float32)
    data = array != 0
    low = min(float(array.min()), 0.0)
    high = float(array.max())
    if low == 0.0 and 1.0 < high <= 255.0:
        high = 255.0
    if high > low:
        array = np.where(data, np.maximum((array - low) / (high - low), _DARKEST), np.float32(0.0))
    return Volume(array.astype(np.float32), volume.spacing, volume.origin, volume.direction)


def _resample(
    values: NDArray[np.float32], mask: NDArray[np.bool_], old: Array, new: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values and mask of an array with spacing ``old`` (x, y[, z]) mm on a grid of ``new`` mm from the same corner."""
    if not (np.isfinite(new) and new > 0):
        raise InputError(f"spacing: must be a positive number of millimetres, not {new}")
    extent = (np.array(values.shape[::-1]) - 1) * old
    size = np.floor(extent / new + 1e-6) + 1
    if np.prod(size) > MOST_VOXELS:
        raise InputError(f"spacing: {new} mm makes more than {MOST_VOXELS:.0e} voxels")
    size = size.astype(int).tolist()
    old = np.asarray(old, dtype=float).tolist()

    def linear(array: NDArray[np.float32]) -> NDArray[np.float32]:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(old)
        resampler = sitk.ResampleImageFilter()
        resampler.SetSize(size)
        resampler.SetOutputSpacing([float(new)] * len(size))
        resampler.SetInterpolator(sitk.sitkLinear)
        return sitk.GetArrayFromImage(resampler.Execute(image))

    weight = linear(mask.astype(np.float32))
    valid = weight >= 0.5
    return np.where(valid, linear(values * mask) / np.maximum(weight, 0.5), np.float32(0.0)), valid


def _first_index(shape: Items[int], size: Items[int]) -> NDArray[np.int64]:
    """Index (x, y[, z]) of the old array that becomes the first of the new one; negative where it is padded."""
    if min(size) < 1:
        raise InputError(f"size: must be positive, not {' '.join(map(str, size))}")
    if np.prod(size, dtype=float) > MOST_VOXELS:
        raise InputError(f"size: {' '.join(map(str, size))} is more than {MOST_VOXELS:.0e} voxels")
    return (np.array(shape[::-1]) - np.array(size)) // 2


def _cut(array: NDArray, first: NDArray[np.int64], size: Items[int]) -> NDArray:
    result = np.zeros(tuple(size)[::-1], array.dtype)
    source, target = [], []
    for begin, length, held in zip(first[::-1], result.shape, array.shape, strict=True):
        source.append(slice(max(begin, 0), min(begin + length, held)))
        target.append(slice(source[-1].start - begin, source[-1].stop - begin))
    result[tuple(target)] = array[tuple(source)]
    return result
