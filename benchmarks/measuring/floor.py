"""The least that an evaluation can take: bytes and operations on paper, over what this machine moves and computes."""

from __future__ import annotations

import numba
import numpy as np

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.cells import LANES, Cells
from deeprs2v_ros.registration.correction import Task, evaluate
from measuring.levels import on_levels, true_pose
from measuring.report import Section, Table
from measuring.subject import Subject
from measuring.timing import in_turns, significant

LINE = 64
"""Bytes that come from memory at once: a brick of the packed volume."""

BYTES_A_SLOT = 8 + 4 + 16 + 16
"""The frame's intensity and whether there is one, in the first sweep; the intensity again in the second; the volume's
value and gradient, written in the first sweep and read in the second."""

BYTES_A_CELL = 3 * 32 + 3 * 32 + 12 * 4 * 2 + 9 * 4
"""Three tables of four numbers of 64 bits, written and read; twelve sums of 32 bits, written and read; nine pulls."""

OPERATIONS = {
    "place: three coordinates, clamped, split into whole and fraction": 26,
    "number of the brick's words, in integers": 20,
    "corners from two words": 18,
    "value and gradient between eight corners": 43,
    "six sums for the windows": 9,
    "six products of gradients": 12,
    "slope: f, f g, f g x, f g y": 22,
}
"""A point: additions, multiplications, conversions and selections of 32 bits, each as one, as the kernel has them."""

OPERATIONS_A_CELL = 24 + 36 + 35 + 90 + 30
"""Adding up three tables, three windows of four corners, the correlation, the moments of the curvature, the slope."""

STREAMED, CACHED = 1 << 28, 1 << 19
"""Bytes of the arrays that are copied to measure: far more than any cache, and what a cache near the core holds."""


def measure(subject: Subject, repeats: int) -> Section:
    """Count, probe, and time each level in ``repeats`` turns."""
    tracker, tasks = on_levels(subject)
    pose = true_pose(subject)
    speed = probe(repeats)
    rows, numbers = [], {}
    names = [f"{level.spacing:.3g} mm" for level in tracker.levels]
    works = {name: (lambda task=task: evaluate(task, pose)) for name, task in zip(names, tasks, strict=True)}
    times = in_turns(works, repeats)
    for name, task in zip(names, tasks, strict=True):
        counted = count(task, pose)
        cold, warm = floors(counted, speed)
        spent = times[name].least
        numbers[name] = {**counted, "floor": cold, "floor_cached": warm, "seconds": times[name], "factor": spent / warm}
        rows.append(
            (
                name, str(counted["points"]), significant(counted["bytes_volume"] / 1e3),
                significant(counted["bytes_streamed"] / 1e3), significant(counted["operations"] / 1e3),
                significant(1e6 * warm), significant(1e6 * cold), significant(1e6 * spent), significant(spent / warm),
                significant(spent / cold),
            )
        )  # fmt: skip
    a_point = sum(OPERATIONS.values())
    parts = "; ".join(f"{what}: {number}" for what, number in OPERATIONS.items())
    text = (
        f"On paper an evaluation touches, of the volume, the cache lines of {LINE} bytes in which its points' words "
        f"lie (counted at this pose), {BYTES_A_SLOT} bytes a point of frame and intermediate values, {BYTES_A_CELL} a "
        f"cell; and does {a_point} operations a point ({parts}) and {OPERATIONS_A_CELL} a cell. One core of this "
        f"machine, measured: {significant(speed['memory'] / 1e9)} GB/s from memory, "
        f"{significant(speed['cache'] / 1e9)} GB/s from its cache (copies of {STREAMED >> 20} MB and {CACHED >> 10} "
        f"kB, bytes read and written), {significant(speed['operations'] / 1e9)} thousand million operations a second "
        "of 32 bits (multiply-adds, counted as two). The floor is the longer of moving and computing: with everything "
        "in the cache, as in a climb, and with the volume in memory, as in a first look."
    )
    note = (
        "The floor is optimistic: it takes every operation for half a multiply-add, every load for a contiguous one, "
        "and moving and computing for simultaneous. The volume is fetched by two scattered loads of 8 bytes a point."
    )
    columns = (
        "points apart", "points", "volume, kB", "frame and sums, kB", "thousand operations", "floor, us",
        "volume in memory, us", "measured, us", "times the floor", "and with the volume in memory",
    )  # fmt: skip
    return Section("The floor", text, Table(columns, rows), (note,), {"machine": speed, "levels": numbers})


def count(task: Task, pose: Array) -> dict[str, int]:
    """Bytes and operations of one evaluation of ``task`` at ``pose``."""
    cells = task.cells
    slots = cells.points.shape[0] * cells.points.shape[1] * LANES
    return {
        "points": cells.valid,
        "slots": slots,
        "cells": len(cells.rows),
        "bytes_volume": LINE * bricks(task, pose),
        "bytes_streamed": BYTES_A_SLOT * slots + BYTES_A_CELL * len(cells.rows),
        "operations": sum(OPERATIONS.values()) * cells.valid + OPERATIONS_A_CELL * len(cells.rows),
    }


def floors(counted: dict[str, int], speed: dict[str, float]) -> tuple[float, float]:
    """Seconds at the least, the volume in memory, and all in the cache."""
    computing = counted["operations"] / speed["operations"]
    streaming = counted["bytes_streamed"] / speed["cache"]
    cold = max(computing, streaming + counted["bytes_volume"] / speed["memory"])
    return cold, max(computing, streaming + counted["bytes_volume"] / speed["cache"])


def bricks(task: Task, pose: Array) -> int:
    """How many bricks of the packed volume hold the two words of any point."""
    voxels = points(task.cells) @ (task.volume.voxel_from_volume @ pose)[:3, :2].T
    voxels += (task.volume.voxel_from_volume @ pose @ [*task.centre, 1.0])[:3] + 1.0
    shape = task.volume.words.shape[:3]
    near = np.clip(np.floor(voxels).astype(int)[:, ::-1], 0, 2 * np.array(shape) - 1)
    beside = np.minimum(near + np.array([1, 0, 0]), 2 * np.array(shape) - 1)
    return len(np.unique(np.ravel_multi_index(tuple(np.concatenate([near, beside]).T // 2), shape)))


def points(cells: Cells) -> Array:
    """Where the valid points are, (n, 2) mm from the image centre."""
    slots = np.arange(cells.points.shape[1])
    x = cells.x[:, None] + (cells.step[0] * (slots % cells.size))[None, :, None]
    y = cells.y[:, None] + (cells.step[1] * (slots // cells.size))[None, :, None]
    return np.stack([x, y], axis=-1)[cells.points[:, :, LANES:] > 0.0].astype(float)


def probe(repeats: int) -> dict[str, float]:
    """Bytes a second from memory and from the cache, and operations a second, of one core, at the best."""
    works = {}
    for name, size in (("memory", STREAMED), ("cache", CACHED)):
        source, target = np.ones(size // 16, np.float64), np.zeros(size // 16, np.float64)
        works[name] = lambda source=source, target=target: np.copyto(target, source)
    values, rounds = np.ones(LENGTH, np.float32), 400
    works["operations"] = lambda: _multiply_add(values, rounds)
    times = {name: spent.least for name, spent in in_turns(works, max(5, repeats)).items()}
    return {
        "memory": STREAMED / times["memory"],
        "cache": CACHED / times["cache"],
        "operations": 2 * CHAIN * LENGTH * rounds / times["operations"],
    }


LENGTH, CHAIN = 1024, 16
"""Numbers that stay in the innermost cache, and multiply-adds of each before it is stored again."""


@numba.njit(fastmath={"contract"}, nogil=True)
def _multiply_add(values, rounds):  # noqa: ANN001, ANN202 (compiled)
    """Vectors side by side: each chain has to wait for itself, but not for the others."""
    a, b = np.float32(0.999), np.float32(0.001)
    for _ in range(rounds):
        for i in range(values.shape[0]):
            v = values[i]
            v = (((v * a + b) * a + b) * a + b) * a + b
            v = (((v * a + b) * a + b) * a + b) * a + b
            v = (((v * a + b) * a + b) * a + b) * a + b
            v = (((v * a + b) * a + b) * a + b) * a + b
            values[i] = v
