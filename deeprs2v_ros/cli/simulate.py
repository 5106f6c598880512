"""Simulate a subject: a sweep for the 3D image and a clip during breathing, an MRI, with the truth beside them."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import yaml
from tqdm import tqdm

from deeprs2v_ros.anatomy.segmentation import write_segmentation
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import Array, apply
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.mri import LABELS, make_mri, scene_anatomy
from deeprs2v_ros.simulation.paths import HandHeldPath, pose_on_skin, sweep_poses
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator

_SWEEP_RATE = 20.0  # frames per second of the motor-driven scanner
_BREATHS_BEFORE = 3.0  # seconds between the breath-hold's end and the clip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this subcommand."""
    parser.description = (
        "Simulate a subject: an acquisition sweep in a breath-hold (sweep.igs.mha), a hand-held clip while the liver "
        "breathes with its true poses (frames.igs.mha) and with the tracked ones, which do not know of the breathing "
        "(tracked.igs.mha), the valid area (mask.png) and what is true (truth.json). An MRI of the subject in a frame "
        "of its own (mri.mha, volume_from_mri.yaml); its vessels and tumour in the volume's frame (anatomy.seg.nrrd)."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to, made if absent")
    parser.add_argument("--seed", type=int, default=0, help="subject, breathing and hand (default 0)")
    parser.add_argument("--frames", type=int, default=60, help="frames of the hand-held clip (default 60)")
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second of the clip (default 10)")
    parser.add_argument("--sweep-frames", type=int, default=160, help="frames of the sweep (default 160)")
    parser.add_argument("--tilt-deg", type=float, default=60.0, help="tilt of the sweep (default 60)")
    parser.add_argument("--translation-mm", type=float, default=30.0, help="translation of the sweep (default 30)")
    parser.add_argument("--yaw-deg", type=float, default=-40.0, help="view: 0 transverse, -90 sagittal (default -40)")
    parser.add_argument("--breathing-mm", type=float, default=15.0, help="head-to-foot travel (default 15)")
    parser.add_argument("--period-s", type=float, default=4.0, help="mean length of a breath (default 4)")
    parser.add_argument("--nonrigid-mm", type=float, default=1.0, help="deformation at full inspiration (default 1)")
    parser.add_argument("--pixel-mm", type=float, default=0.38, help="pixel size (default 0.38)")
    parser.add_argument(
        "--tumour-contrast-db", type=float, default=-4.0, help="tumour against parenchyma (default -4; 0: invisible)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Simulate and write. Raises InputError for options out of range and for a folder that cannot be written."""
    for name, value in vars(arguments).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"--{name.replace('_', '-')} must be a finite number, not {value}")
    if arguments.frames < 1:
        raise InputError(f"--frames must be at least 1, not {arguments.frames}")
    if arguments.seed < 0:
        raise InputError(f"--seed must not be negative, but is {arguments.seed}")
    if not arguments.rate > 0.0:
        raise InputError(f"--rate must be positive, not {arguments.rate}")
    probe = CurvilinearProbe(pixel_mm=arguments.pixel_mm)
    breathing = Breathing(arguments.seed, arguments.breathing_mm, arguments.period_s, arguments.nonrigid_mm)
    nominal = pose_on_skin(probe, yaw_deg=arguments.yaw_deg)
    sweep = sweep_poses(probe, nominal, arguments.sweep_frames, arguments.tilt_deg, arguments.translation_mm)
    hand = HandHeldPath(probe, nominal, arguments.seed)
    times = sweep.shape[0] / _SWEEP_RATE + _BREATHS_BEFORE + np.arange(arguments.frames) / arguments.rate
    tracked = np.stack([hand.pose(t) for t in times])
    folder: Path = arguments.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from error

    liver = make_liver(arguments.seed, arguments.tumour_contrast_db)
    simulator = UltrasoundSimulator(liver, probe, breathing)
    sweep_images = [simulator.image(pose) for pose in tqdm(sweep, desc="sweep", unit="frame")]
    moments = list(zip(tracked, times, strict=True))
    images = [simulator.image(pose, t) for pose, t in tqdm(moments, desc="clip", unit="frame")]
    corrections = np.stack([simulator.correction(pose, t) for pose, t in moments])

    write_sequence(folder / "sweep.igs.mha", _sequence(sweep_images, sweep, np.arange(len(sweep)) / _SWEEP_RATE, probe))
    write_sequence(folder / "frames.igs.mha", _sequence(images, corrections @ tracked, times, probe))
    write_sequence(folder / "tracked.igs.mha", _sequence(images, tracked, times, probe))
    with written_whole(folder / "mask.png") as temporary:
        cv2.imwrite(str(temporary), np.where(probe.mask, 255, 0).astype(np.uint8))
    mri, volume_from_mri = make_mri(liver)
    write_volume(folder / "mri.mha", mri)
    with written_whole(folder / "volume_from_mri.yaml") as temporary:
        temporary.write_text(yaml.safe_dump({"matrix": volume_from_mri.tolist()}), encoding="utf-8")
    write_segmentation(folder / "anatomy.seg.nrrd", scene_anatomy(liver), LABELS)
    truth = {
        "seed": arguments.seed,
        "tumour_centre_mm": liver.tumour_centre.tolist(),
        "tumour_semi_axes_mm": liver.tumour_semi_axes.tolist(),
        "bifurcations_mm": liver.bifurcations.tolist(),
        "tumour_now_mm": [breathing.displace(liver.tumour_centre, t).tolist() for t in times],
        "timestamps_s": times.tolist(),
        "nonrigid_residual_mm": [
            _residual(simulator, pose, t, c) for (pose, t), c in zip(moments, corrections, strict=True)
        ],
        "probe": asdict(probe),
        "breathing": asdict(breathing),
        "scanner": asdict(simulator.settings),
    }
    with written_whole(folder / "truth.json") as temporary:
        temporary.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    rows, columns = probe.shape
    print(f"{folder}: sweep of {len(sweep)} frames, clip of {len(times)} frames of {columns}x{rows} pixels")


def _sequence(images: list[np.ndarray], volume_from_image: Array, times: Array, probe: CurvilinearProbe) -> Sequence:
    valid = np.ones(len(times), dtype=bool)
    return Sequence(np.stack(images), volume_from_image @ probe.image_from_pixel, times, valid)


def _residual(simulator: UltrasoundSimulator, pose: Array, t: float, correction: Array) -> float:
    """What no rigid correction can undo: RMS distance (mm) over the fan behind the abdominal wall."""
    points = apply(pose, simulator.probe.fan_points)
    points = points[points[:, 1] > simulator.liver.wall_mm]
    left = apply(correction, points) - simulator.breathing.rest(points, t)
    return float(np.sqrt(np.mean(np.sum(left**2, axis=1))))
