"""Run the whole cart through ROS 2, simulated or on recorded frames, and report how well it followed the tumour.

Encoders, kinematics, ultrasound, volume and registration run in this process; another one looks the tumour up on TF, as
any ROS program would. Everything is recorded to an MCAP bag, and the report is made from the bag alone: a picture of
what the physician sees, a plot of the tumour's true and broadcast position, and the numbers.

Without --sequence the patient, the ultrasound and the arm are simulated. With it, recorded frames are shown at the
probe poses at which a breathing liver would show them, and turned into encoder counts of the arm.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml

from deeprs2v_ros.cli.inputs import read_masked_sequence
from deeprs2v_ros.demo.folder import replaced_whole
from deeprs2v_ros.demo.parameters import Parameters, pixel_size, recorded_parameters, simulated_parameters
from deeprs2v_ros.demo.report import summary_rows, write_report
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import read_volume

OUTPUTS = (
    "bag",
    "guidance.png",
    "guidance.webp",
    "index.html",
    "mask.png",
    "parameters.yaml",
    "summary.json",
    "target.png",
    "volume.mha",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for bag, pictures and numbers"
    )
    parser.add_argument("--sequence", type=Path, help="recorded frames with ImageToWorld transforms (.igs.mha)")
    parser.add_argument("--volume", type=Path, help="their 3D image (.mha, .nrrd, .nii ...), 0 where no data")
    parser.add_argument("--mask", type=Path, help="valid area of a frame (PNG); without it, found from the frames")
    parser.add_argument("--duration", type=float, default=30.0, help="seconds of tracking (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="patient, breathing and hand (default 1)")
    parser.add_argument("--rate", type=float, default=10.0, help="images per second (default 10)")
    parser.add_argument("--breathing-mm", type=float, default=15.0, help="head-to-foot travel (default 15)")


def run(arguments: argparse.Namespace) -> None:
    """Run the nodes, then report. Raises InputError on bad input, and if nothing was tracked."""
    _check(arguments)
    output = arguments.output.resolve()
    with replaced_whole(output, OUTPUTS) as folder:
        parameters, source = _prepare(arguments, folder)
        text = yaml.safe_dump(parameters, sort_keys=False)
        file = folder / "parameters.yaml"
        file.write_text(text, encoding="utf-8")
        _isolate()
        _run_nodes(file, folder / "bag", arguments.duration)
        print("making the report: pictures, a film, numbers", file=sys.stderr)
        subject = arguments.seed if arguments.sequence is None else None
        summary = write_report(folder / "bag", folder, pixel_size(parameters), source, subject)
        file.write_text(text.replace(str(folder), str(output)), encoding="utf-8")
    width = max(len(what) for what, _ in summary_rows(summary))
    for what, value in summary_rows(summary):
        print(f"{what:{width}}  {value}")
    print(f"\n{arguments.output / 'index.html'} shows it; {arguments.output / 'bag'} holds every message")


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.sequence is None) != (arguments.volume is None):
        raise InputError("--sequence and --volume go together")
    if arguments.mask is not None and arguments.sequence is None:
        raise InputError("--mask: is that of a --sequence, and there is none")
    if not 1.0 <= arguments.duration < math.inf:
        raise InputError(f"--duration: must be at least 1 second, but is {arguments.duration:g}")
    if not 0.0 <= arguments.breathing_mm < math.inf:
        raise InputError(f"--breathing-mm: must not be negative, but is {arguments.breathing_mm:g}")
    if not 0.5 <= arguments.rate <= 100.0:
        raise InputError(f"--rate: must be between 0.5 and 100 images per second, but is {arguments.rate:g}")
    if arguments.seed < 0:
        raise InputError(f"--seed: must not be negative, but is {arguments.seed}")


def _prepare(arguments: argparse.Namespace, folder: Path) -> tuple[Parameters, str]:
    """The parameters, and a few words on what the images are."""
    choices = (arguments.seed, arguments.breathing_mm, arguments.rate)
    breathing = f"breathing {arguments.breathing_mm:g} mm, seed {arguments.seed}, {arguments.rate:g} images a second"
    if arguments.sequence is None:
        parameters = simulated_parameters(folder / "volume.mha", *choices)
        return parameters, f"Simulated patient and cart; {breathing}."
    sequence, mask = read_masked_sequence(arguments.sequence, arguments.mask)
    read_volume(arguments.volume)  # so that a bad one is reported at once
    cv2.imwrite(str(folder / "mask.png"), np.where(mask, 255, 0).astype(np.uint8))
    parameters = recorded_parameters(
        arguments.sequence, sequence, folder / "mask.png", mask, arguments.volume, *choices
    )  # fmt: skip
    names = f"{arguments.sequence.name} in {arguments.volume.name}"
    moved = f"shown on a simulated arm as if the liver moved, {breathing}; the tumour is a sphere placed among them"
    return parameters, f"Recorded frames, {names}: {moved}."


def _isolate() -> None:
    """Stay on this machine, and in a ROS domain of our own unless the user chose one."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("RCUTILS_CONSOLE_OUTPUT_FORMAT", "{name}: {message}")
    domain = os.environ["ROS_DOMAIN_ID"]
    print(f"ROS domain {domain}: to look on, ROS_DOMAIN_ID={domain} rviz2", file=sys.stderr)


def _run_nodes(parameters: Path, bag: Path, duration: float) -> None:
    try:
        from deeprs2v_ros.nodes.composed.demo import run_nodes
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: needs ROS 2 and the built package, see README.md") from error
    # So that the nodes are stopped in order when this process is asked to end.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_nodes(parameters, bag, duration)
    finally:
        signal.signal(signal.SIGTERM, before)
