"""Register the frames of a tracked sequence to a volume.

Each frame starts from its ImageToWorld transform; with --temporal, from that moved as the organ was last seen to have
moved. The result is one row a frame, accepted or not, with the registered transform.

Methods: lncc, masked LNCC maximised coarse to fine from many starts; deeprs2v+lncc, the one to use, the same, and where
that leaves a doubt, what the network says as well; deeprs2v, the network alone; and for comparison itk, SimpleITK's
global correlation, and fvrnet.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deeprs2v_ros.cli.inputs import read_masked_sequence
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.poses import ACCEPTED, REJECTED, PoseRow, write_poses
from deeprs2v_ros.geometry import Array, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence
from deeprs2v_ros.imaging.volume import Volume, read_volume
from deeprs2v_ros.registration.methods import DEVICES, METHODS, RegistersFrames, make_tracker
from deeprs2v_ros.registration.settings import ABDOMINAL_WALL, RegistrationSettings

SAME_PIXELS = 1e-4
"""mm by which the pixel size of frames of one sequence may differ."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--volume", type=Path, required=True, help="3D image (.mha, .nrrd, .nii ...), 0 where no data")
    parser.add_argument("--sequence", type=Path, required=True, help="frames with ImageToWorld transforms (.igs.mha)")
    parser.add_argument("--mask", type=Path, help="valid area of a frame (PNG); without it, found from the frames")
    parser.add_argument("--method", choices=METHODS, required=True, help="how (see above)")
    parser.add_argument("--weights", help="for methods with a network: a .safetensors file, or a shipped one by name")
    parser.add_argument(
        "--abdominal-wall",
        type=float,
        default=ABDOMINAL_WALL,
        metavar="MM",
        help="what lies so near to the probe is not compared, as it does not breathe (default %(default)g)",
    )
    parser.add_argument("--temporal", action="store_true", help="carry the organ's motion from frame to frame")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the network computes (default cpu)")
    parser.add_argument("--output", type=Path, required=True, help="POSES.csv to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, register, write. Raises InputError on bad input."""
    if not arguments.output.parent.is_dir():
        raise InputError(f"{arguments.output}: the folder {arguments.output.parent} does not exist")
    sequence, mask = read_masked_sequence(arguments.sequence, arguments.mask)
    volume = read_volume(arguments.volume)
    settings = RegistrationSettings(gate=METHODS[arguments.method].gate, abdominal_wall=arguments.abdominal_wall)
    results = register(
        sequence, mask, volume, arguments.method, arguments.temporal, settings, arguments.device, arguments.weights
    )
    rows = list(tqdm(results, total=len(sequence), unit="frame"))
    write_poses(arguments.output, rows)
    accepted = sum(row.status == ACCEPTED for row in rows)
    milliseconds = np.median([row.runtime_ms for row in rows])
    print(f"{arguments.output}: {accepted} of {len(rows)} frames accepted, {milliseconds:.0f} ms a frame (median)")


def register(
    sequence: Sequence,
    mask: NDArray[np.bool_],
    volume: Volume,
    method: str = "lncc",
    temporal: bool = False,
    settings: RegistrationSettings | None = None,
    device: str = "cpu",
    weights: str | None = None,
    arm: Array | None = None,
) -> Iterator[PoseRow]:
    """Register the frames of ``sequence`` one by one; a frame that was not tracked is rejected unseen.

    ``arm`` is the covariance (6, 6) of the tracked poses about the image centre, in image axes, if it is to count.

    Raises InputError when the frames' pixel sizes differ, and as `make_tracker` does.
    """
    poses = [split_pixel_transform(transform) for transform in sequence.world_from_pixel[sequence.valid]]
    image_from_pixel = poses[0][1]
    if any(np.abs(other - image_from_pixel).max() > SAME_PIXELS for _, other in poses):
        raise InputError("the frames of the sequence have different pixel sizes")
    tracker = make_tracker(method, volume, mask, image_from_pixel, temporal, settings, weights, device)
    tracker.register_frame(sequence.frames[sequence.valid][0], poses[0][0])  # warm-up: compiles what is compiled
    tracker.reset()

    return _registered(tracker, sequence, poses, arm)


def _registered(
    tracker: RegistersFrames, sequence: Sequence, poses: list[tuple[Array, Array]], arm: Array | None
) -> Iterator[PoseRow]:
    """Rows of all frames; ``poses`` are the split transforms of the valid ones."""
    tracked = iter(poses)
    for index, (frame, timestamp) in enumerate(zip(sequence.frames, sequence.timestamps, strict=True)):
        if sequence.valid[index]:
            pose, image_from_pixel = next(tracked)
            result = tracker.register_frame(frame, pose, round(1e9 * timestamp), arm)
            runtime = 1e3 * result.runtime
            status = ACCEPTED if result.accepted else REJECTED
            signals, registered = result.signals, result.registered @ image_from_pixel
            yield PoseRow(
                index, timestamp, status, result.reason.value, signals.lncc, signals.overlap, runtime, registered
            )
        else:
            yield PoseRow(index, timestamp, REJECTED, "NOT_TRACKED", np.nan, np.nan, 0.0, _finite(sequence, index))


def _finite(sequence: Sequence, index: int) -> Array:
    """The transform that the sequence has for a frame that is not valid, or the identity where it has none."""
    transform = sequence.world_from_pixel[index]
    return transform if np.isfinite(transform).all() else np.eye(4)
