"""Frames followed one after the other, as they come from the machine while the liver breathes."""

from __future__ import annotations

import os
from functools import partial
from time import perf_counter, sleep

import numpy as np
from tqdm import tqdm

from deeprs2v_ros.geometry import apply
from deeprs2v_ros.registration.methods import make_tracker
from deeprs2v_ros.registration.tracker import Tracker
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.scenes import RecordedScene
from measuring.load import busy
from measuring.report import Section, Table
from measuring.subject import Subject
from measuring.timing import Times, significant

RATE, SEED = 30.0, 1
SETTLING = 30
"""Images at the start that do not count: the first one is searched."""
TARGET = ("target", "10, aim 4", "20", "", "", "0.25", "", "0.20", "", "", "")


def measure(subject: Subject, seconds: float, load: int = 2) -> Section:
    """Follow ``seconds`` of images: as fast as may be, at their own pace, and so with ``load`` busy processes."""
    tracker = make_tracker("lncc", subject.volume, subject.mask, subject.image_from_pixel)
    conditions = {"one after the other": (False, 0), f"{RATE:g} a second": (True, 0)}
    if load:
        conditions[f"{RATE:g} a second, {load} busy processes"] = (True, load)
    rows, numbers = [], {}
    for name, (paced, processes) in conditions.items():
        with busy(processes):
            if processes:
                sleep(1.0)
            found = follow(subject, tracker, seconds, paced, name)
        numbers[name] = found
        spent = found["seconds"]
        rows.append(
            (
                name, *(significant(1e3 * value) for value in (spent.median, spent.p95, spent.busy, spent.busy_p95)),
                *(significant(found[key]) for key in ("mean_mm", "p95_mm", "mean_degrees")),
                f"{100.0 * found['followed']:.1f} %", f"{100.0 * found['accepted']:.1f} %",
                f"{found['tried']:.1f}",
            )
        )  # fmt: skip
    rows.append(TARGET)
    text = (
        f"The frames are shown as if the liver breathed: 15 mm and 4 s on average, {RATE:g} images a second for "
        f"{seconds:g} s, each frame five times while the organ moves on. Stamps are those of the images. Errors at the "
        f"image centre, of accepted results, after the first {SETTLING} images. Cores of this machine: "
        f"{len(os.sched_getaffinity(0))}."
    )
    columns = (
        "condition", "ms, median", "ms, p95", "CPU ms, median", "CPU ms, p95", "mm, mean", "mm, p95", "degrees, mean",
        "followed", "accepted", "poses tried",
    )  # fmt: skip
    target = {"median_ms": 10.0, "p95_ms": 20.0, "mean_mm": 0.25, "mean_degrees": 0.20, "aim_median_ms": 4.0}
    return Section("Following", text, Table(columns, rows), numbers={"conditions": numbers, "target": target})


def follow(subject: Subject, tracker: Tracker, seconds: float, paced: bool, name: str) -> dict[str, object]:
    """Show the scene to ``tracker`` from the start; ``paced``, at the pace of a machine."""
    middle = apply(subject.volume.volume_from_voxel, (np.array(subject.volume.size) - 1) / 2.0)
    breathing = Breathing(SEED, 15.0, 4.0, 0.0, centre=tuple(middle))
    scene = RecordedScene(subject.frames, subject.mask, breathing, middle, RATE)
    tracker.reset()
    times, errors, followed, accepted, tried = Times(), [], 0, 0, 0
    count = round(seconds * RATE)
    began = perf_counter()
    for index in tqdm(range(count), desc=f"following, {name}", unit="image"):
        tracked = scene.pose(index)
        image = scene.image(index, tracked)
        if paced:
            sleep(max(0.0, began + index / RATE - perf_counter()))
        one = Times()
        found = one.call(
            partial(tracker.register_frame, image, tracked, round(1e9 * (1.0 + index / RATE)), subject.arm)
        )
        if index < min(SETTLING, count // 2):
            continue
        times.wall += one.wall
        times.cpu += one.cpu
        followed += found.followed
        accepted += found.accepted
        tried += found.iterations
        if found.accepted:
            rest = np.linalg.inv(breathing.rigid(index / RATE)) @ tracked
            errors.append(subject.error(found.registered, rest))
    millimetres, degrees = np.transpose(errors) if errors else np.full((2, 1), np.nan)
    return {
        "images": len(times.wall),
        "seconds": times,
        "mean_mm": millimetres.mean(),
        "p95_mm": np.percentile(millimetres, 95),
        "mean_degrees": degrees.mean(),
        "followed": followed / len(times.wall),
        "accepted": accepted / len(times.wall),
        "tried": tried / len(times.wall),
    }
