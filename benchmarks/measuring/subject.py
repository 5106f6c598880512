"""What is registered: recorded frames in their volume, or those of a simulated patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import (
    Array,
    about,
    apply,
    from_motion,
    geodesic_distance,
    image_centre,
    rigid,
    split_pixel_transform,
)
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.reconstruction import reconstruct
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence
from deeprs2v_ros.imaging.volume import Volume, read_volume
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.paths import pose_on_skin, sweep_poses
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator
from deeprs2v_ros.training.pairs import draw_displacement
from measuring.arm import nominal_arm


@dataclass(frozen=True)
class Subject:
    """A ``volume``, frames with their true poses in it, and their valid area ``mask`` (rows, columns)."""

    name: str
    volume: Volume
    frames: Sequence
    mask: NDArray[np.bool_]

    @cached_property
    def image_from_pixel(self) -> Array:
        """The pixel size, as a 4x4."""
        return split_pixel_transform(self.frames.world_from_pixel[0])[1]

    @cached_property
    def centre(self) -> Array:
        """Of the image, in the image, mm."""
        return image_centre(self.mask.shape, self.image_from_pixel)

    @cached_property
    def arm(self) -> Array:
        """Covariance (6, 6) of the tracked poses, as a cart has it."""
        return nominal_arm(self.mask.shape, self.image_from_pixel)

    @cached_property
    def poses(self) -> Array:
        """True volume_from_image (N, 4, 4)."""
        return np.stack([split_pixel_transform(transform)[0] for transform in self.frames.world_from_pixel])

    def displaced(self, seed: int, scale: float, repeats: int = 1) -> Iterator[tuple[NDArray[np.uint8], Array, Array]]:
        """Every frame ``repeats`` times: the image, its true pose, and one displaced by ``scale`` times the paper's."""
        rng = np.random.default_rng(seed)
        for _ in range(repeats):
            for image, pose in zip(self.frames.frames, self.poses, strict=True):
                yield image, pose, pose @ about(self.centre, draw_displacement(rng, scale))

    def error(self, found: Array, true: Array) -> tuple[float, float]:
        """How far a pose is from the ``true`` one: mm at the image centre, and degrees."""
        shift = np.linalg.norm(apply(found, self.centre) - apply(true, self.centre))
        return float(shift), float(np.degrees(geodesic_distance(found[:3, :3], true[:3, :3])))


def recorded(folder: Path) -> Subject:
    """The recording in ``folder``: volume.mha, frames.igs.mha and mask.png. Raises InputError for faulty files."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    every = read_sequence(folder / "frames.igs.mha")
    good = np.flatnonzero(every.valid)
    frames = Sequence(every.frames[good], every.world_from_pixel[good], every.timestamps[good], every.valid[good])
    volume, mask = read_volume(folder / "volume.mha"), read_mask(folder / "mask.png", frames.frames.shape[1:])
    return Subject(described(f"recorded, {folder.name}", volume, frames), volume, frames, mask)


def simulated(seed: int, pixel: float, spacing: float, sweep: int, count: int) -> Subject:
    """A simulated patient at rest: a volume of ``sweep`` frames, and ``count`` others from beside the sweep."""
    probe = CurvilinearProbe(pixel_mm=pixel)
    simulator = UltrasoundSimulator(make_liver(seed), probe, Breathing(seed))
    middle = pose_on_skin(probe)
    poses = sweep_poses(probe, middle, sweep, 50.0, 20.0)
    volume = reconstruct(_frames(simulator, probe, poses), probe.mask, spacing)
    rng = np.random.default_rng([seed, 1])
    motions = rng.uniform(-1.0, 1.0, (count, 6)) * [4.0, 0.0, 6.0, *np.radians([12.0, 4.0, 4.0])]
    frames = _frames(simulator, probe, np.stack([middle @ about(probe.face, from_motion(each)) for each in motions]))
    return Subject(described(f"simulated, seed {seed}", volume, frames), volume, frames, probe.mask)


def described(what: str, volume: Volume, frames: Sequence) -> str:
    """In words, with sizes."""
    rows, columns = frames.frames.shape[1:]
    pixel = np.linalg.norm(frames.world_from_pixel[0, :3, 0])
    size = "x".join(map(str, volume.size))
    return (
        f"{what}: {len(frames)} frames of {columns}x{rows} pixels of {pixel:.3f} mm, "
        f"a volume of {size} voxels of {volume.spacing[0]:g} mm"
    )


def _frames(simulator: UltrasoundSimulator, probe: CurvilinearProbe, poses: Array) -> Sequence:
    images = np.stack([simulator.image(pose) for pose in poses])
    return Sequence(images, poses @ probe.image_from_pixel, np.arange(len(poses)) / 10.0, np.ones(len(poses), bool))


def resampled(volume: Volume, size: tuple[int, int, int], spacing: float) -> Volume:
    """The middle of ``volume`` in ``size`` (x, y, z) voxels of ``spacing`` mm, repeated by reflection where too small.

    For timing alone: what is beyond the data is made up, so that all voxels cost what data do.
    """
    from scipy import ndimage

    factor = spacing / volume.spacing[::-1]
    middle = (np.array(volume.array.shape) - 1) / 2.0
    offset = middle - factor * (np.array(size[::-1]) - 1) / 2.0
    array = ndimage.affine_transform(volume.array, factor, offset, size[::-1], order=1, mode="reflect")
    volume_from_voxel = volume.volume_from_voxel @ rigid(np.diag(factor[::-1]), offset[::-1])
    return Volume(array, np.full(3, spacing), volume_from_voxel[:3, 3], volume.direction)
