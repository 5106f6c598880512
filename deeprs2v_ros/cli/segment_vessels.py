"""Find the vessels in a 3D ultrasound volume, as a label map, with a picture to check them by.

Vessels are dark tubes; cavities, shadows and the rim of the data are left out. Look at the picture before you use them:
the gallbladder, ducts, and shadows as narrow as vessels may be among them, and vessels thinner than about 4 mm are not.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deeprs2v_ros.anatomy.segmentation import write_segmentation
from deeprs2v_ros.anatomy.vessel_picture import write_picture
from deeprs2v_ros.anatomy.vessels import segment_vessels
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import Volume, read_volume

_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nrrd", ".nii", ".mha")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--volume", type=Path, required=True, help="volume to read (.mha, .nrrd, .nii ...)")
    parser.add_argument(
        "--output", type=Path, required=True, help="label map to write (.seg.nrrd, .nrrd, .nii.gz, .nii or .mha)"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="slices with outlines (default: beside the output)")
    parser.add_argument(
        "--darkness", type=float, default=0.62,
        help="brightness of blood against the tissue around it, at the most (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--widest-mm", type=float, default=18.0, help="wider dark spaces are no vessels (default: %(default)s)"
    )
    parser.add_argument(
        "--smallest-ml", type=float, default=0.3, help="smaller pieces are left out (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, find, write, and say in one line what came out. Raises InputError if there are no vessels."""
    output: Path = arguments.output
    suffix = next((suffix for suffix in _SUFFIXES if output.name.endswith(suffix)), None)
    if suffix is None:
        raise InputError(f"{output}: a label map is written as one of {', '.join(_SUFFIXES)}")
    picture: Path = arguments.picture or output.with_name(output.name.removesuffix(suffix) + ".png")
    if picture.suffix != ".png":
        raise InputError(f"{picture}: a picture is written as .png")
    for path in (output, picture):
        if not path.parent.is_dir():
            raise InputError(f"{path}: the folder {path.parent} does not exist")
    volume = read_volume(arguments.volume)
    started = time.perf_counter()
    with tqdm(desc="vessels", unit="step", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        vessels = segment_vessels(volume, arguments.darkness, arguments.widest_mm, arguments.smallest_ml, progress)
    seconds = time.perf_counter() - started
    if not vessels.any():
        raise InputError(f"{arguments.volume}: shows no vessels by these settings; --darkness finds more, nearer to 1")
    labels = Volume(vessels.astype(np.uint8), volume.spacing, volume.origin, volume.direction)
    write_segmentation(output, labels, {1: "vessels"})
    write_picture(picture, volume, vessels)
    millilitres = np.count_nonzero(vessels) * float(np.prod(volume.spacing)) / 1000.0
    print(f"{output}: {millilitres:.1f} ml of vessels, found in {seconds:.0f} s; look at {picture}")
