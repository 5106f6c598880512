"""A small subject on a small grid, with frames that SimpleITK cuts out of it: enough to train on for a few steps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from phantoms import IMAGE_FROM_PIXEL, cut_frame, displacement, fan, middle_pose, phantom

from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.network.observation import Grid

GRID = Grid(6.0, (20, 16, 8))
MOTIONS = [(0, 0, 0, 0, 0, 0), (4, -3, 2, 5, -4, 6), (-5, 2, -3, -4, 6, -8), (2, 5, 4, 3, 2, 12)]


def write_clip(folder: Path, seed: int = 0, content: str = "spheres") -> dict[str, Path]:
    """volume.mha, frames.igs.mha with true poses, and mask.png of one phantom, in a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    volume = phantom(content, seed)
    poses = [middle_pose(volume) @ displacement(motion) for motion in MOTIONS]
    frames = np.stack([cut_frame(volume, pose, index) for index, pose in enumerate(poses)])
    paths = {name: folder / file for name, file in (("volume", "volume.mha"), ("sequence", "frames.igs.mha"))}
    write_volume(paths["volume"], volume)
    count = len(poses)
    sequence = Sequence(frames, np.stack(poses) @ IMAGE_FROM_PIXEL, np.arange(count) / 10.0, np.ones(count, bool))
    write_sequence(paths["sequence"], sequence)
    paths["mask"] = folder / "mask.png"
    cv2.imwrite(str(paths["mask"]), np.where(fan(), 255, 0).astype(np.uint8))
    return paths
