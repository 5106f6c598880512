"""Adapt trained weights to one patient, from the 3D image alone, in the minutes before the puncture.

Training slices are cut out of the volume itself. No live frame is needed, and none is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.network.checkpoint import choose_device, load_weights, save_weights
from deeprs2v_ros.registration.methods import DEVICES
from deeprs2v_ros.training.self_supervision import cut_clip
from deeprs2v_ros.training.settings import NetworkSettings, RunSettings, TrainingSettings
from deeprs2v_ros.training.training import train

SLICES, VALIDATION_SLICES = 400, 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--volume", type=Path, required=True, help="3D image of the patient, 0 where no data")
    parser.add_argument("--weights", default="correspondence", help="to start from: a file, or a shipped one by name")
    parser.add_argument("--minutes", type=float, default=8.0, help="longest training time (default 8)")
    parser.add_argument("--steps", type=int, default=600, help="training steps (default 600)")
    parser.add_argument("--seed", type=int, default=0, help="which slices are cut and how they are changed (default 0)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to compute (default cpu)")
    parser.add_argument("--output", type=Path, required=True, help="weights to write (.safetensors)")


def run(arguments: argparse.Namespace) -> None:
    """Cut slices, train, write the weights. Raises InputError on bad input."""
    if arguments.steps < 1 or not arguments.minutes > 0.0:
        raise InputError("steps and minutes must be positive")
    if not arguments.output.parent.is_dir():
        raise InputError(f"{arguments.output}: the folder {arguments.output.parent} does not exist")
    device = choose_device(arguments.device)
    checkpoint, volume = load_weights(arguments.weights), read_volume(arguments.volume)
    about = checkpoint.description
    try:
        clip = cut_clip(volume, about.grid, SLICES, arguments.seed)
        validation = cut_clip(volume, about.grid, VALIDATION_SLICES, arguments.seed + 1)
    except InputError as error:
        raise InputError(f"{arguments.volume}: {error}") from error
    settings = TrainingSettings(
        network=NetworkSettings(about.architecture, about.width, about.grid.spacing, about.grid.size),
        run=RunSettings(arguments.steps, learning_rate=3e-4, validate_every=100, seed=arguments.seed),
    )
    with tempfile.TemporaryDirectory() as folder:
        best = train(settings, [clip], [validation], Path(folder), device, checkpoint.network, arguments.minutes)
        tuned = load_weights(best)
    # The calibration stays that of the start: slices share their speckle with the volume and would flatter it.
    trained_on = about.trained_on | {"then": f"{arguments.steps} steps on slices of {arguments.volume.name}"}
    save_weights(arguments.output, tuned.network, dataclasses.replace(about, trained_on=trained_on))
    print(f"{arguments.output}: {checkpoint.name}, adapted to {arguments.volume}")
