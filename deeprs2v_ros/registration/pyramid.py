"""Coarse-to-fine representations of the volume and of the frame.

A level has one point spacing. The volume, blurred first on levels that are to be without its speckle, is smoothed to it
and resampled once, when it is loaded; the frame is averaged to it each time. Both are normalised by their masks, so
that what lies outside the data never darkens its edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deeprs2v_ros.imaging.averaging import area_average
from deeprs2v_ros.imaging.beams import Beams
from deeprs2v_ros.imaging.packing import PackedVolume, pack
from deeprs2v_ros.imaging.slicing import Lattice, SampledVolume
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.settings import LevelSettings

FULLY_INSIDE = 0.99
"""Share of a lattice point's area that must be inside the frame's mask."""

LEAST_WEIGHT = 0.05
"""Share of a coarse voxel that must be data. Slicing needs eight voxels with data around each point, which would shave
a whole coarse voxel off the volume's border; values carried outwards by about as much make up for it."""

REACH = 3.0
"""Standard deviations after which a Gaussian is cut off."""

WORTH_RESAMPLING = 1.25
"""How many times coarser than the volume's a spacing must be for the volume to be resampled."""

SLAB = 24
"""Layers that are made at once."""

WORKERS = ThreadPoolExecutor(2, thread_name_prefix="prepare")


@dataclass(frozen=True)
class Level:
    """One level: the volume, the frame's lattice, and the LNCC ``window`` in lattice points.

    ``packed`` is the volume again, for the correction. ``inside`` is the share of each lattice point's area that the
    frame's mask covers, ``mask`` where it is all of it, ``beams`` are those that made the frame.
    """

    volume: SampledVolume
    packed: PackedVolume
    lattice: Lattice
    inside: NDArray[np.float32]
    mask: NDArray[np.bool_]
    window: int
    beams: Beams

    @property
    def spacing(self) -> float:
        """Distance of neighbouring points along x, mm."""
        return self.lattice.spacing[0]

    def average(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """Average a ``frame`` (rows, columns), zero outside its mask, on the lattice."""
        averaged = area_average(frame, self.lattice.shape)
        return np.divide(averaged, self.inside, out=np.zeros_like(averaged), where=self.mask)

    def visible(self, averaged: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where an ``averaged`` frame shows anatomy: in its mask, and not at the edges of shadows."""
        return self.mask & ~self.beams.shadows(averaged)


def build_levels(
    volume: Volume, mask: NDArray[np.bool_], pixel_size: tuple[float, float], settings: Sequence[LevelSettings]
) -> list[Level]:
    """Prepare all levels for frames with ``mask`` (rows, columns) and ``pixel_size`` (x, y) in mm.

    The volume is brought to the finest spacing first: finer voxels cost time and memory, and no level shows them.
    """
    brightest = float(volume.array.max())
    volume = coarsened(volume, min(each.spacing for each in settings))
    speckle = {each.speckle for each in settings}
    volumes = {sigma: blurred(volume, sigma) if sigma else volume for sigma in speckle}
    return [build_level(volumes[each.speckle], mask, pixel_size, each, brightest) for each in settings]


def build_level(
    volume: Volume,
    mask: NDArray[np.bool_],
    pixel_size: tuple[float, float],
    settings: LevelSettings,
    brightest: float | None = None,
) -> Level:
    """Prepare one level; ``brightest`` is the intensity that counts as 1, by default the volume's highest.

    The lattice divides the image evenly, so that each point is the average of its own share of the pixels. It is never
    finer than the pixels.
    """
    extent = np.array(mask.shape) * pixel_size[::-1]
    rows, columns = (int(n) for n in np.clip(np.rint(extent / settings.spacing), 1, mask.shape))
    step = (extent / (rows, columns))[::-1]
    lattice = Lattice((rows, columns), tuple(step), tuple((step - pixel_size) / 2))
    inside = area_average(mask.astype(np.float32), lattice.shape)
    points = max(3, int(settings.window / step[0]) // 2 * 2 + 1)
    whole = inside >= FULLY_INSIDE
    sampled = sample_volume(volume, settings.spacing, brightest)
    return Level(sampled, pack(sampled), lattice, inside, whole, points, Beams(whole, step[0]))


def blurred(volume: Volume, sigma: float) -> Volume:
    """``volume`` smoothed by ``sigma`` mm over voxels with data; those without stay without."""
    known = (volume.array != 0).astype(np.float32)
    steps = (sigma / volume.spacing)[::-1]
    total, weight = (
        ndimage.gaussian_filter(each, steps, mode="constant", truncate=REACH)
        for each in (volume.array.astype(np.float32), known)
    )
    return replace(volume, array=np.divide(total, weight, out=np.zeros_like(total), where=known > 0))


def sample_volume(volume: Volume, spacing: float, brightest: float | None = None) -> SampledVolume:
    """Smooth and resample ``volume`` to about ``spacing`` mm; intensities as fractions of ``brightest``.

    That is the volume's own maximum unless it is given.
    """
    coarse = coarsened(volume, spacing)
    scale = np.float32(1.0 / (volume.array.max() if brightest is None else brightest))
    array = np.where(coarse.array != 0, coarse.array * scale, np.float32(np.nan))
    return SampledVolume(array, np.linalg.inv(coarse.volume_from_voxel))


def coarsened(volume: Volume, spacing: float) -> Volume:
    """``volume`` smoothed and resampled to about ``spacing`` mm, float32; voxels without data do not count, and stay 0.

    An axis that is already that coarse is left alone, since interpolating it again would only blur it. Done in slabs,
    so that little more memory is needed than for the result.
    """
    factor = spacing / volume.spacing  # x, y, z
    factor[factor < WORTH_RESAMPLING] = 1.0
    if (factor == 1.0).all():
        return volume
    factor = factor[::-1]
    sigma = 0.4 * np.sqrt(factor**2 - 1.0)
    shape = np.maximum(np.ceil(np.array(volume.array.shape) / factor), 2).astype(int)
    array = np.empty(shape, np.float32)
    beyond = int(np.ceil(REACH * sigma[0])) + 2

    def fill(first: int) -> None:
        last = min(first + SLAB, shape[0])
        start = max(int(first * factor[0]) - beyond, 0)
        slab = volume.array[start : int(last * factor[0]) + beyond]
        data, weight = (
            ndimage.affine_transform(
                ndimage.gaussian_filter(each.astype(np.float32), sigma, mode="constant", truncate=REACH),
                factor,
                offset=(first * factor[0] - start, 0.0, 0.0),
                output_shape=(last - first, *shape[1:]),
                order=1,
            )
            for each in (slab, slab != 0)
        )
        array[first:last] = np.where(weight > LEAST_WEIGHT, data / np.maximum(weight, LEAST_WEIGHT), np.float32(0.0))

    list(WORKERS.map(fill, range(0, shape[0], SLAB)))
    return Volume(array, volume.spacing * factor[::-1], volume.origin, volume.direction)
