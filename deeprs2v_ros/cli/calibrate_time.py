"""Estimate by how much images are stamped later than the arm's poses, from a recording over a known volume.

What an image stamped t shows was there at t - offset: the parameter image_time_offset of the nodes. Every frame is
registered to the volume, which says where it was; the arm's poses say when that was. Move the probe to and fro, at
changing speed, for five seconds or more, within the volume, while the patient holds the breath.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from deeprs2v_ros.cli.inputs import read_masked_sequence
from deeprs2v_ros.cli.register import register
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.poses import ACCEPTED
from deeprs2v_ros.evaluation.time_offset import write_report
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import image_centre, split_pixel_transform
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.registration.time_offset import Path as ArmPath
from deeprs2v_ros.registration.time_offset import estimate_offset

LONGEST = 5.0
"""s: what the nodes accept."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--sequence", type=Path, required=True, help="frames with transforms and time stamps")
    parser.add_argument("--volume", type=Path, required=True, help="3D image of the same place, 0 where no data")
    parser.add_argument("--mask", type=Path, help="valid area of a frame (PNG); without it, found from the frames")
    parser.add_argument("--max-offset", type=float, default=0.5, help="s, longest offset considered (default 0.5)")
    parser.add_argument("--output", type=Path, help="parameter file (.yaml) to write, for all nodes")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for a page that shows both motions")


def run(arguments: argparse.Namespace) -> None:
    """Read, register, estimate, write, and say what came out in the last line."""
    if not 0.05 <= arguments.max_offset <= LONGEST:
        raise InputError(f"--max-offset: must be from 0.05 to {LONGEST:g} seconds, but is {arguments.max_offset:g}")
    sequence, mask = read_masked_sequence(arguments.sequence, arguments.mask)
    volume = read_volume(arguments.volume)
    valid = np.flatnonzero(sequence.valid)
    times = sequence.timestamps[valid] - sequence.timestamps[valid[0]]
    if np.array_equal(times, valid - float(valid[0])):
        raise InputError(f"{arguments.sequence}: has no time stamps, only numbers of frames")
    split = [split_pixel_transform(transform) for transform in sequence.world_from_pixel[valid]]
    image_from_pixel = split[0][1]
    centre = image_centre(mask.shape, image_from_pixel)
    try:
        path = ArmPath(times, np.stack([pose for pose, _ in split]))
        rows = list(tqdm(register(sequence, mask, volume), total=len(sequence), unit="frame", disable=None))
        accepted = np.array([rows[n].status == ACCEPTED for n in valid])
        stamps = times[accepted]
        registered = np.array([split_pixel_transform(rows[n].world_from_pixel)[0] for n in valid[accepted]])
        result = estimate_offset(stamps, registered, path, centre, arguments.max_offset)
    except InputError as error:
        raise InputError(f"{arguments.sequence}: {error}") from error
    line = f"image time offset {1e3 * result.offset:.0f} ms, sd {1e3 * result.sd:.0f} ms; n {result.count} frames"
    if arguments.report is not None:
        write_report(arguments.report, stamps, registered, path, centre, result, f"{arguments.sequence.name}: {line}")
    if arguments.output is not None:
        with written_whole(arguments.output) as temporary:
            content = {"/**": {"ros__parameters": {"image_time_offset": round(result.offset, 4)}}}
            temporary.write_text(f"# {line}\n" + yaml.safe_dump(content), encoding="utf-8")
    print(f"{result.residual:.2f} mm are left between images and arm (median)")
    print(line)
