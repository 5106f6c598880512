"""A clip cut out of a volume: frames for training on one patient, from the 3D image alone.

The volume is sliced along planes at which a probe could be held, and the slice becomes the frame. It shares its speckle
with the volume, which no later frame will, so augmentation draws other speckle, gain and shadows onto it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, rigid
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.network.observation import Grid, VolumeSpatialTransformer
from deeprs2v_ros.registration.pyramid import sample_volume
from deeprs2v_ros.training.clips import Clip

LEAST_SHOWN = 0.15
"""Share of the grid's plane that has to show data."""

TILT = 30.0
"""The most degrees by which the probe leans away from the volume's y axis."""

ATTEMPTS = 50
"""Planes that are tried for each frame before the volume counts as too small."""


def cut_clip(volume: Volume, grid: Grid, count: int, seed: int) -> Clip:
    """``count`` frames cut out of ``volume``, with their poses.

    Beams run along the volume's y axis, as reconstructed from frames in PLUS's orientation (MFA), give or take `TILT`;
    the probe may be turned about them in any way. Raises InputError for a volume in which too few planes show anything.
    """
    transformer = VolumeSpatialTransformer(sample_volume(volume, grid.spacing))
    rng = np.random.default_rng(seed)
    data = np.argwhere(volume.array[::4, ::4, ::4] > 0)[:, ::-1] * 4.0
    centres = apply(volume.volume_from_voxel, data)
    frames, poses = [], []
    for _ in range(ATTEMPTS * count):
        pose = _draw_pose(rng, volume, centres)
        frame = transformer.slice(torch.from_numpy(pose)[None], grid)[0]
        if frame[1].mean() >= LEAST_SHOWN:
            frames.append(frame)
            poses.append(pose)
        if len(frames) == count:
            return Clip("the patient", torch.stack(frames), np.stack(poses), transformer)
    raise InputError(f"the volume shows too little to cut {count} frames of {grid.extent[0]:.0f} mm out of it")


def _draw_pose(rng: np.random.Generator, volume: Volume, centres: Array) -> Array:
    """volume_from_centre (4, 4) of a plane whose centre holds data."""
    yaw, tilt, rock = rng.uniform(-180.0, 180.0), *rng.uniform(-TILT, TILT, size=2)
    turned = Rotation.from_euler("YXZ", [yaw, tilt, rock], degrees=True).as_matrix()
    return rigid(volume.direction @ turned, centres[rng.integers(len(centres))])
