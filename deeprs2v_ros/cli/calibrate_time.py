"""Estimate by how much images are stamped later than the arm's poses, from a recording of a moving probe.

What an image stamped t shows was there at t - offset: the parameter image_time_offset of the nodes. Move the probe to
and fro, at changing speed, for ten seconds or more, while the patient holds the breath. An even sweep says nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from deeprs2v_ros.arm.timing import estimate_offset
from deeprs2v_ros.cli.inputs import read_masked_sequence
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.time_offset import write_report
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import split_pixel_transform
from deeprs2v_ros.imaging.motion import measure_motion
from deeprs2v_ros.imaging.sequence import Sequence

LONGEST = 5.0
"""s: what the nodes accept."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--sequence", type=Path, required=True, help="frames with transforms and time stamps")
    parser.add_argument("--mask", type=Path, help="valid area of a frame (PNG); without it, found from the frames")
    parser.add_argument("--max-offset", type=float, default=0.5, help="s, longest offset considered (default 0.5)")
    parser.add_argument("--output", type=Path, help="parameter file (.yaml) to write, for all nodes")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for a page that shows both motions")


def run(arguments: argparse.Namespace) -> None:
    """Read, compare, estimate, write, and say what came out in the last line."""
    if not 0.05 <= arguments.max_offset <= LONGEST:
        raise InputError(f"--max-offset: must be from 0.05 to {LONGEST:g} seconds, but is {arguments.max_offset:g}")
    sequence, mask = read_masked_sequence(arguments.sequence, arguments.mask)
    valid = sequence.valid
    sequence = Sequence(
        sequence.frames[valid], sequence.world_from_pixel[valid], sequence.timestamps[valid], valid[valid]
    )
    times = sequence.timestamps - sequence.timestamps[0]
    if np.array_equal(times, np.flatnonzero(valid) - float(np.flatnonzero(valid)[0])):
        raise InputError(f"{arguments.sequence}: has no time stamps, only numbers of frames")
    if not (np.diff(times) > 0.0).all():
        raise InputError(f"{arguments.sequence}: the time stamps of its frames do not grow")
    split = [split_pixel_transform(transform) for transform in sequence.world_from_pixel]
    poses = np.stack([pose for pose, _ in split])
    pixel_size = (float(split[0][1][0, 0]), float(split[0][1][1, 1]))
    try:
        with tqdm(desc="comparing frames", total=len(times), unit="frame", disable=None) as bar:
            motion = measure_motion(
                sequence.frames, mask, pixel_size, times, lambda done, total: bar.update(done - bar.n)
            )
        result = estimate_offset(motion, times, times, poses, arguments.max_offset)
    except InputError as error:
        raise InputError(f"{arguments.sequence}: {error}") from error
    line = f"image time offset {1e3 * result.offset:.0f} ms, sd {1e3 * result.sd:.0f} ms; n {len(times)} frames"
    if arguments.report is not None:
        write_report(arguments.report, motion, times, times, poses, result, f"{arguments.sequence.name}: {line}")
    if arguments.output is not None:
        with written_whole(arguments.output) as temporary:
            content = {"/**": {"ros__parameters": {"image_time_offset": round(result.offset, 4)}}}
            temporary.write_text(f"# {line}\n" + yaml.safe_dump(content), encoding="utf-8")
    print(line)
