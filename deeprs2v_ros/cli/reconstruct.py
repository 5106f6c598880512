"""Reconstruct a 3D volume from a tracked sweep of frames.

Frames without a valid image or transform are left out. Without a mask, the valid area is found from the frames.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deeprs2v_ros.cli.inputs import read_masked_sequence
from deeprs2v_ros.imaging.reconstruction import reconstruct
from deeprs2v_ros.imaging.volume import write_volume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--sequence", type=Path, required=True, help="tracked sweep (.igs.mha or .igs.nrrd)")
    parser.add_argument("--mask", type=Path, help="valid area of a frame, an image of the frames' size")
    parser.add_argument("--spacing", type=float, default=0.5, help="voxel size in mm (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="volume to write (.mha, .nrrd, .nii or .nii.gz)")


def run(arguments: argparse.Namespace) -> None:
    """Read, reconstruct, write, and say in one line what came out."""
    sequence, mask = read_masked_sequence(arguments.sequence, arguments.mask)
    started = time.perf_counter()
    with tqdm(desc="reconstructing", unit="layer", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        volume = reconstruct(sequence, mask, arguments.spacing, progress)
    seconds = time.perf_counter() - started
    write_volume(arguments.output, volume)
    size = "x".join(map(str, volume.size))
    coverage = np.count_nonzero(volume.array) / volume.array.size
    print(
        f"{arguments.output}: {size} voxels of {arguments.spacing:g} mm, {coverage:.0%} of them with data, "
        f"from {np.count_nonzero(sequence.valid)} of {len(sequence)} frames in {seconds:.1f} s"
    )
