"""Train a network on simulated subjects and recorded clips.

Simulated subjects that are not there yet are made first. A run that was cut off goes on when it is started again with
the same folder. For several GPUs or machines start it with torchrun: torchrun --nproc-per-node 4 -m
deeprs2v_ros.cli.main train --config TRAIN.yaml --output RUN
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.network.checkpoint import choose_device
from deeprs2v_ros.registration.methods import DEVICES
from deeprs2v_ros.training.calibration import calibrate
from deeprs2v_ros.training.clips import read_clips, subjects_in
from deeprs2v_ros.training.invention import invent_clip
from deeprs2v_ros.training.settings import SubjectSettings, read_settings
from deeprs2v_ros.training.subjects import make_missing_subjects
from deeprs2v_ros.training.training import LOG, VALIDATION_SEED, train
from deeprs2v_ros.training.validation import FRAMES

INVENTED_CLIPS = 4
"""To validate on as well, where invented anatomies are trained on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="what to train, on what, for how long (.yaml)")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run, made if absent")
    parser.add_argument(
        "--subjects", type=Path, default=Path("out/subjects"), metavar="FOLDER",
        help="where simulated subjects are kept, and made if they are missing (default out/subjects; 9 MB each)",
    )  # fmt: skip
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to compute (default cpu)")


def run(arguments: argparse.Namespace) -> None:
    """Make what is missing, read, train. Raises InputError on bad input."""
    settings = read_settings(arguments.config)
    device = choose_device(arguments.device)
    if not arguments.output.parent.is_dir():
        raise InputError(f"{arguments.output}: the folder {arguments.output.parent} does not exist")
    arguments.output.mkdir(exist_ok=True)
    data, grid = settings.data, settings.network.grid
    folder = arguments.subjects
    make_missing_subjects(folder, [part.first + k for part in (data.train, data.validate) for k in range(part.count)])
    clips = read_clips(clips_of(folder, data.train) + list(data.recorded), grid)
    validation = read_clips(clips_of(folder, data.validate) + list(data.recorded_validate), grid)
    if not clips or not validation:
        raise InputError(f"{arguments.config}: data: nothing to {'validate' if clips else 'train'} on")
    if settings.run.invented:
        validation += [invent_clip(np.random.default_rng([seed, 1]), grid, FRAMES) for seed in range(INVENTED_CLIPS)]
    best = train(settings, clips, validation, arguments.output, device)
    if int(os.environ.get("RANK", "0")) == 0:
        calibrate(best, validation, settings.run.reach, VALIDATION_SEED, device)
        print(f"{best}: the weights that validated best; {arguments.output / LOG}: how it went")


def clips_of(folder: Path, subjects: SubjectSettings) -> list:
    """The clips of simulated subjects."""
    return subjects_in(folder, subjects.first, subjects.count)
