"""Resample a volume to isotropic voxels, crop or pad it, and scale its intensities to [0, 1].

The volume keeps its place in space, and voxels without data stay 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from deeprs2v_ros.imaging.preprocessing import preprocess_volume
from deeprs2v_ros.imaging.volume import read_volume, write_volume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--volume", type=Path, required=True, help="volume to read (.mha, .nrrd, .nii ...)")
    parser.add_argument("--spacing", type=float, default=0.5, help="voxel size in mm (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, nargs=3, metavar=("X", "Y", "Z"), default=(400, 320, 240),
        help="voxels along x, y and z (default: 400 320 240)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="volume to write (.mha, .nrrd, .nii or .nii.gz)")


def run(arguments: argparse.Namespace) -> None:
    """Read, prepare, write, and say in one line what came out."""
    volume = preprocess_volume(read_volume(arguments.volume), arguments.spacing, tuple(arguments.size))
    write_volume(arguments.output, volume)
    size = "x".join(map(str, volume.size))
    coverage = np.count_nonzero(volume.array) / volume.array.size
    print(f"{arguments.output}: {size} voxels of {arguments.spacing:g} mm, {coverage:.0%} of them with data")
