"""Recordings to train on: frames with true poses and the volume that shows them, prepared for a network's grid."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, image_centre, rigid, split_pixel_transform
from deeprs2v_ros.imaging.mask import find_mask, read_mask
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.network.observation import Grid, VolumeSpatialTransformer, observe_frame
from deeprs2v_ros.registration.pyramid import sample_volume


@dataclass(frozen=True)
class ClipFiles:
    """Where a clip is: PLUS ``sequence`` with true poses, ``volume``, and ``mask``, found from the frames if None.

    ``subject`` names the person, since training and validation are split by subject.
    """

    subject: str
    volume: Path
    sequence: Path
    mask: Path | None = None


@dataclass(frozen=True)
class Clip:
    """A clip on a grid: ``frames`` (N, 2, y, x), ``volume_from_centre`` (N, 4, 4) mm, and the volume.

    The centre frame has the image's axes and its origin at the image centre.
    """

    subject: str
    frames: Tensor
    volume_from_centre: Array
    volume: VolumeSpatialTransformer

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device) -> Clip:
        """The clip on a ``device``, with a volume of its own there; this one stays where it is."""
        if self.frames.device == device:
            return self
        return replace(self, frames=self.frames.to(device), volume=deepcopy(self.volume).to(device))


def read_clip(files: ClipFiles, grid: Grid, volume: VolumeSpatialTransformer | None = None) -> Clip:
    """Read a clip for ``grid``; ``volume`` if it has been read already.

    Raises InputError for whatever is wrong with a file, and for a sequence without any valid frame.
    """
    sequence = read_sequence(files.sequence)
    if not sequence.valid.any():
        raise InputError(f"{files.sequence}: none of its {len(sequence)} frames is valid")
    images = sequence.frames[sequence.valid]
    mask = find_mask(images) if files.mask is None else read_mask(files.mask, images.shape[1:])
    frames, poses = [], []
    for image, world_from_pixel in zip(images, sequence.world_from_pixel[sequence.valid], strict=True):
        pose, image_from_pixel = split_pixel_transform(world_from_pixel)
        pixel_size = (image_from_pixel[0, 0], image_from_pixel[1, 1])
        frames.append(observe_frame(image, mask, pixel_size, grid))
        poses.append(pose @ rigid(translation=image_centre(mask.shape, image_from_pixel)))
    if volume is None:
        volume = VolumeSpatialTransformer(sample_volume(read_volume(files.volume), grid.spacing))
    return Clip(files.subject, torch.stack(frames), np.stack(poses), volume)


def read_clips(all_files: list[ClipFiles], grid: Grid) -> list[Clip]:
    """Read clips, each volume once. Raises InputError as `read_clip` does."""
    volumes: dict[Path, VolumeSpatialTransformer] = {}
    clips = []
    for files in all_files:
        clip = read_clip(files, grid, volumes.get(files.volume))
        volumes[files.volume] = clip.volume
        clips.append(clip)
    return clips


def subjects_in(folder: Path, first: int, count: int) -> list[ClipFiles]:
    """The clips of simulated subjects ``first`` ... ``first + count - 1`` in ``folder``, as `subjects` writes them."""
    clips = []
    for seed in range(first, first + count):
        subject = folder / f"{seed:04d}"
        clips += [
            ClipFiles(subject.name, subject / "volume.mha", path, path.with_name(path.name.replace(".igs.mha", ".png")))
            for path in sorted(subject.glob("*.igs.mha"))
        ]
    return clips
