"""Simulated subjects to train and test on: each a 3D image and two clips of frames with their true poses.

A subject has an anatomy of its own and is acquired once, in a breath-hold, with a probe, a machine setting and a
direction of its own. Then it is scanned twice while it breathes: clip ``same`` with the probe that made the volume,
near the directions of the sweep, and clip ``other`` as another examiner would, with another probe and other settings,
from directions up to 25 degrees away, so that speckle is another and shadows fall elsewhere. The files of a subject are
those of a recording, so that simulated and recorded data are used alike.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.imaging.reconstruction import reconstruct
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import Volume, write_volume
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.paths import pose_on_skin, sweep_poses
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import ScannerSettings, UltrasoundSimulator

CLIPS = ("same", "other")
SWEEP_FRAMES = 96
CLIP_FRAMES = 24
SPACING = 0.8  # mm, of the volume
LEAST_OVERLAP = 0.5  # of a frame's fan that the volume must show
VISIBLE = 3.0  # mm that a landmark may lie in front of or behind the plane that shows it

LANDMARK_COLUMNS = ("frame", "image_x", "image_y", "image_z", "volume_x", "volume_y", "volume_z")


def make_subject(seed: int, folder: Path, threads: int = 2) -> None:
    """Simulate subject ``seed`` and write it into ``folder``, which is made.

    Files: ``volume.mha``, and for each clip ``CLIP.igs.mha`` (frames with their true ImageToWorld transforms),
    ``CLIP.png`` (valid area) and ``CLIP.landmarks.csv`` (vessel bifurcations near the plane of a frame: where the frame
    shows them, in the image frame, and where they are in the volume; mm).
    """
    rng = np.random.default_rng([seed, 4])
    folder.mkdir(parents=True, exist_ok=True)
    breathing = Breathing(seed, rng.uniform(6.0, 20.0), rng.uniform(3.0, 5.0), rng.uniform(0.3, 1.5))
    liver = make_liver(seed, rng.uniform(-8.0, 1.0), bool(rng.random() < 0.6))
    probe, settings = draw_scanner(rng)
    simulator = UltrasoundSimulator(liver, probe, breathing, settings)
    place = np.array([rng.uniform(-25.0, 25.0), 0.0, rng.uniform(-15.0, 10.0)])
    yaw = rng.uniform(-100.0, 10.0)
    nominal = pose_on_skin(probe, place, yaw, rng.uniform(-8.0, 8.0), rng.uniform(-8.0, 8.0))
    sweep = sweep_poses(probe, nominal, SWEEP_FRAMES, rng.uniform(35.0, 60.0), rng.uniform(0.0, 50.0))
    with ThreadPoolExecutor(threads) as pool:
        images = np.stack(list(pool.map(simulator.image, sweep)))
        volume = reconstruct(_sequence(images, sweep, probe), probe.mask, SPACING)
        write_volume(folder / "volume.mha", volume)
        for clip in CLIPS:
            reach = 8.0
            if clip == "other":
                probe, settings = draw_scanner(rng)
                simulator = UltrasoundSimulator(liver, probe, breathing, settings)
                reach = 20.0
            tracked, times = _clip_poses(rng, volume, simulator, place, yaw, reach)
            images = np.stack(list(pool.map(simulator.image, tracked, times)))
            truth = np.stack([simulator.correction(p, t) @ p for p, t in zip(tracked, times, strict=True)])
            write_sequence(folder / f"{clip}.igs.mha", _sequence(images, truth, probe))
            with written_whole(folder / f"{clip}.png") as temporary:
                cv2.imwrite(str(temporary), np.where(probe.mask, 255, 0).astype(np.uint8))
            _write_landmarks(folder / f"{clip}.landmarks.csv", simulator, tracked, times)


def make_missing_subjects(folder: Path, seeds: Iterable[int]) -> None:
    """Simulate those of the subjects that ``folder`` does not hold yet, each in a folder named by its seed.

    Raises InputError under torchrun, whose processes would all make the same ones.
    """
    missing = [seed for seed in seeds if not is_complete(folder / f"{seed:04d}")]
    if missing and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"{folder}: {len(missing)} subjects are missing; start once without torchrun")
    for seed in tqdm(missing, desc="subjects", unit="subject", disable=not missing):
        make_subject(seed, folder / f"{seed:04d}")


def is_complete(folder: Path) -> bool:
    """Whether ``folder`` holds a whole subject: the last file that `make_subject` writes is there."""
    return (folder / f"{CLIPS[-1]}.landmarks.csv").is_file()


def draw_scanner(rng: np.random.Generator) -> tuple[CurvilinearProbe, ScannerSettings]:
    """A probe, in one of three cases nearly linear, and a machine with its knobs turned at random."""
    if rng.random() < 0.33:
        radius, width = 400.0, rng.uniform(50.0, 110.0)
        field_of_view = math.degrees(width / radius)
    else:
        radius, field_of_view = rng.uniform(38.0, 65.0), rng.uniform(55.0, 75.0)
    probe = CurvilinearProbe(radius, field_of_view, rng.uniform(105.0, 170.0), pixel_mm=0.5)
    settings = ScannerSettings(
        frequency_mhz=rng.uniform(2.2, 4.5),
        pulse_sigma_mm=rng.uniform(0.25, 0.5),
        line_sigma_deg=rng.uniform(0.28, 0.5) * 110.0 / (radius + 60.0),
        elevation_sigma_mm=rng.uniform(1.0, 2.0),
        focus_mm=rng.uniform(50.0, 100.0),
        gain_db=rng.uniform(-34.0, -14.0),
        tgc_db_per_mm=rng.uniform(0.20, 0.31),
        dynamic_range_db=rng.uniform(45.0, 75.0),
        noise=10.0 ** rng.uniform(-3.6, -2.7),
    )
    return probe, settings


def _clip_poses(
    rng: np.random.Generator,
    volume: Volume,
    simulator: UltrasoundSimulator,
    place: Array,
    yaw: float,
    reach: float,
) -> tuple[Array, Array]:
    """Tracked poses (N, 4, 4) and times (N,) of a clip: planes of which the volume shows enough at that time."""
    poses, times = [], []
    while len(poses) < CLIP_FRAMES:
        # Out of patience with a probe that sees much beyond the volume, stay closer and closer to the sweep's middle.
        reach *= 0.998
        angles = rng.uniform(-1.0, 1.0, size=3) * (reach * 1.25, reach, 0.8 * reach)
        slide = rng.uniform(-1.0, 1.0, size=2) * reach
        position = place + np.array([slide[0], 0.0, slide[1]])
        pose = pose_on_skin(simulator.probe, position, yaw + angles[0], angles[1], angles[2])
        time = rng.uniform(10.0, 70.0)
        true = simulator.correction(pose, time) @ pose
        if _overlap(volume, apply(true, simulator.probe.fan_points)) >= LEAST_OVERLAP or reach < 1.0:
            poses.append(pose)
            times.append(time)
    return np.stack(poses), np.array(times)


def _overlap(volume: Volume, points: Array) -> float:
    """Share of ``points`` (N, 3) where the volume holds data."""
    voxels = np.rint(apply(np.linalg.inv(volume.volume_from_voxel), points)).astype(int)
    inside = ((voxels >= 0) & (voxels < volume.size)).all(axis=1)
    x, y, z = voxels[inside].T
    return float(np.count_nonzero(volume.array[z, y, x]) / len(points))


def _write_landmarks(path: Path, simulator: UltrasoundSimulator, tracked: Array, times: Array) -> None:
    rows: list[list[str]] = []
    shape, pixel = simulator.probe.shape, simulator.probe.pixel_mm
    for frame, (pose, time) in enumerate(zip(tracked, times, strict=True)):
        now = simulator.breathing.displace(simulator.liver.bifurcations, time)
        for shown, rest in zip(apply(inverse(pose), now), simulator.liver.bifurcations, strict=True):
            column, row = np.rint(shown[:2] / pixel).astype(int)
            seen = 0 <= row < shape[0] and 0 <= column < shape[1] and bool(simulator.probe.mask[row, column])
            if seen and abs(shown[2]) < VISIBLE:
                rows.append([str(frame), *(f"{value:.4f}" for value in (*shown, *rest))])
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([LANDMARK_COLUMNS, *rows])


def _sequence(images: NDArray[np.uint8], volume_from_image: Array, probe: CurvilinearProbe) -> Sequence:
    count = len(images)
    return Sequence(images, volume_from_image @ probe.image_from_pixel, np.arange(count) / 10.0, np.ones(count, bool))
