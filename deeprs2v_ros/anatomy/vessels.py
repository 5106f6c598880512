"""Vessels in a B-mode volume: dark tubes in brighter tissue.

Every voxel is compared with the tissue around it, so that depth, gain and shadows that fade gradually do not matter.
What is dark is a vessel where it is shaped like a tube on some scale (Antiga, Insight Journal 2007, after Frangi et
al., MICCAI 1998, from ITK) and nowhere as wide as a gallbladder, a shadow or the empty space around the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply
from deeprs2v_ros.imaging.preprocessing import resample_isotropic
from deeprs2v_ros.imaging.volume import Volume, to_image

_SPACING = 1.0  # mm: finer than a probe's slice is thick
_MOST_VOXELS = 16_000_000  # on which to work; a larger volume is looked at more coarsely
_SPECKLE_MM, _SHADE_MM, _TISSUE_MM = 0.8, 2.0, 10.0  # sigmas that even out speckle, tubes' edges, and vessels
_GLARE = 1.3  # times the tissue's brightness: what is brighter counts as no more
_NOISE_SHARE = 1.0  # percent of the data that are no brighter than the machine's black
_BLACK = 0.25  # of the brightness of bright tissue: the machine's black is no brighter
_BRIGHT_SHARE, _LIT = 90.0, 0.2  # tissue is lit if it has this share of the brightness that so many percent stay below
_RIM_MM = 1.5  # of the data, where they may be half empty
_CORE = 0.3  # brightness of a lumen against the tissue's, at the most
_SHADED = 0.75  # the same of a shadow or a cavity
_TUBE = 0.4  # objectness, 0 to 1
_SCALES_MM = (1.0, 1.5, 2.2, 3.3, 5.0, 7.0)  # sigmas, about the radius over the square root of 2
_REACH = 1.6  # sigmas from the axis of a tube to its wall
_BLOOM_MM, _WALL = 1.0, 1.1  # the point spread fills the rim of a lumen, up to what is as bright as tissue

Mask = NDArray[np.bool_]
Grey = NDArray[np.float32]


class _Shades(NamedTuple):
    """Brightness against the tissue around, sharp and ``smooth``, and where there is enough light to tell."""

    sharp: Grey
    smooth: Grey
    lit: Mask


def segment_vessels(
    volume: Volume,
    darkness: float = 0.62,
    widest_mm: float = 18.0,
    smallest_ml: float = 0.3,
    progress: Callable[[int, int], None] | None = None,
) -> Mask:
    """Where the vessels are: bool, of the shape (z, y, x) of the ``volume``, whose voxels without data are 0.

    ``darkness`` is the brightness of blood against the tissue around it, at the most. Dark spaces wider than
    ``widest_mm`` are left out, and so are pieces of less than ``smallest_ml``. ``progress`` is called with the steps
    done and the steps in all.

    Raises InputError for a volume without data and for settings out of range.
    """
    if not 0.0 < darkness < 1.0:
        raise InputError(f"darkness: must be between 0 and 1, not {darkness}")
    if not 2.0 <= widest_mm <= 100.0:
        raise InputError(f"widest_mm: must be 2 to 100 mm, not {widest_mm}")
    if not 0.0 <= smallest_ml < np.inf:
        raise InputError(f"smallest_ml: must not be negative, but is {smallest_ml}")
    if not volume.array.any():
        raise InputError("volume: holds no data (every voxel is 0)")
    steps = len(_SCALES_MM) + 2

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, steps)

    work = _working_volume(volume)
    spacing = float(work.spacing[0])
    shades = _shades(work, darkness, widest_mm)
    cavity = _wide(~shades.lit | (shades.smooth < _SHADED), widest_mm / 2.0, spacing, 1.5)
    dark = shades.lit & (shades.sharp < darkness) & ~cavity
    core = dark & (shades.sharp < _CORE)
    tell(1)
    # Beyond the light, everything goes on as it is at the edge: a shadow there is no tube, a vessel that leaves is one.
    nearest = ndimage.distance_transform_edt(~shades.lit, return_distances=False, return_indices=True)
    continued = np.minimum(shades.sharp, np.float32(1.2))[tuple(nearest)]
    del nearest
    vessels = np.zeros_like(dark)
    for done, scale in enumerate(_SCALES_MM, start=2):
        axis = core & (_objectness(continued, scale / spacing) > _TUBE)
        vessels |= _within(axis, _REACH * scale / spacing) & dark
        tell(done)
    vessels = _large(vessels, 1000.0 * smallest_ml / spacing**3)
    vessels |= _within(vessels, _BLOOM_MM / spacing) & shades.lit & ~cavity & (shades.sharp < _WALL)
    found = _on_grid_of(volume, vessels, work)
    tell(steps)
    return found


def _working_volume(volume: Volume) -> Volume:
    """What holds data, float32 on cubic voxels."""
    first, last = [], []
    for axis in range(3):
        there = np.flatnonzero(volume.array.any(axis=tuple(other for other in range(3) if other != axis)))
        first.append(there[0])
        last.append(there[-1] + 1)
    array = volume.array[tuple(map(slice, first, last))]
    cut = Volume(array, volume.spacing, apply(volume.volume_from_voxel, first[::-1]), volume.direction)
    extent = np.prod(np.array(cut.size) * cut.spacing)
    return resample_isotropic(cut, max(_SPACING, float(np.cbrt(extent / _MOST_VOXELS))))


def _shades(work: Volume, darkness: float, widest_mm: float) -> _Shades:
    """Compare with the mean of the tissue around, once with and once without what was found to be dark and narrow."""
    spacing = float(work.spacing[0])
    data = work.array != 0
    weight = data.astype(np.float32)
    inside = ndimage.distance_transform_edt(np.pad(data, 1))[1:-1, 1:-1, 1:-1] * spacing > _RIM_MM
    sharp = _mean(work.array, weight, _SPECKLE_MM / spacing)
    black, bright = np.percentile(sharp[data], (_NOISE_SHARE, _BRIGHT_SHARE))
    black = np.float32(min(black, _BLACK * bright))
    grey = np.maximum(work.array - black, np.float32(0.0)) * weight
    sharp = np.maximum(sharp - black, np.float32(0.0))
    tissue_weight = weight
    for last in (False, True):
        tissue = _mean(grey, tissue_weight, _TISSUE_MM / spacing)
        for _ in range(2):
            tissue = _mean(np.minimum(grey, _GLARE * tissue), tissue_weight, _TISSUE_MM / spacing)
        lit = inside & (tissue > _LIT * np.percentile(tissue[data], _BRIGHT_SHARE))
        if not last:
            dark = lit & (sharp < darkness * tissue)
            tissue_weight = weight * ~(dark & ~_wide(dark, widest_mm / 2.0, spacing, 1.0))
    tissue = np.maximum(tissue, np.float32(1e-6))
    smooth = _mean(grey, weight, _SHADE_MM / spacing)
    return _Shades(np.where(lit, sharp / tissue, np.float32(1.0)), smooth / tissue, lit)


def _mean(values: Grey, weight: Grey, sigma: float) -> Grey:
    """The weighted mean around each voxel, with Gaussian weights of ``sigma`` voxels on top."""
    total = ndimage.gaussian_filter(values * weight, sigma, mode="constant", truncate=3.0)
    share = ndimage.gaussian_filter(weight, sigma, mode="constant", truncate=3.0)
    return total / np.maximum(share, np.float32(1e-3))


def _wide(dark: Mask, radius: float, spacing: float, margin: float) -> Mask:
    """Where a ball of ``radius`` mm fits into the dark, and ``margin`` mm more. All beyond the array is dark."""
    reach = int(np.ceil(radius / spacing)) + 2
    padded = np.pad(dark, reach, constant_values=True)
    centres = ndimage.distance_transform_edt(padded) * spacing > radius
    return _within(centres, (radius + margin) / spacing)[reach:-reach, reach:-reach, reach:-reach]


def _within(mask: Mask, voxels: float) -> Mask:
    """Up to ``voxels`` from the mask."""
    return ndimage.distance_transform_edt(~mask) <= voxels if mask.any() else mask


def _objectness(shade: Grey, sigma: float) -> Grey:
    """How much like a dark tube, 0 to 1, at a scale of ``sigma`` voxels; wide tubes on a coarser grid."""
    stride = max(1, int(sigma / 1.5))
    blurred = ndimage.gaussian_filter(shade, sigma, mode="nearest", truncate=3.0)[::stride, ::stride, ::stride]
    measure = sitk.ObjectnessMeasureImageFilter()
    measure.SetObjectDimension(1)
    measure.SetBrightObject(False)
    measure.SetScaleObjectnessMeasure(False)
    measure.SetAlpha(0.5)
    measure.SetBeta(0.5)
    measure.SetGamma(0.1)
    scaled = np.ascontiguousarray(blurred * np.float32((sigma / stride) ** 2))  # as if all scales were one
    found = sitk.GetArrayFromImage(measure.Execute(sitk.GetImageFromArray(scaled)))
    for axis, size in enumerate(shade.shape):
        found = found.repeat(stride, axis).take(range(size), axis)
    return found


def _large(mask: Mask, voxels: float) -> Mask:
    """The connected pieces of at least so many voxels."""
    pieces, _ = ndimage.label(mask)
    kept = np.bincount(pieces.ravel()) >= voxels
    kept[0] = False
    return kept[pieces]


def _on_grid_of(volume: Volume, vessels: Mask, work: Volume) -> Mask:
    """On the voxels of the ``volume`` that hold data."""
    image = to_image(Volume(vessels.astype(np.float32), work.spacing, work.origin, work.direction))
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(volume.size)
    resampler.SetOutputSpacing(np.asarray(volume.spacing, dtype=float).tolist())
    resampler.SetOutputOrigin(np.asarray(volume.origin, dtype=float).tolist())
    resampler.SetOutputDirection(np.asarray(volume.direction, dtype=float).ravel().tolist())
    return (sitk.GetArrayFromImage(resampler.Execute(image)) >= 0.5) & (volume.array != 0)
