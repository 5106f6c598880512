"""Registered poses on disk: POSES.csv, one row a frame."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file, written_whole
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.sequence import FARTHEST, LATEST
from deeprs2v_ros.reading import read_table

ACCEPTED, REJECTED = "ACCEPTED", "REJECTED"
_NUMBERS = ("timestamp", "lncc", "overlap", "runtime_ms")
_MATRIX = tuple(f"m{row}{column}" for row in range(3) for column in range(4))
COLUMNS = ("frame", "timestamp", "status", "reason", "lncc", "overlap", "runtime_ms", *_MATRIX)


@dataclass(frozen=True)
class PoseRow:
    """The registration of one frame.

    ``status`` is ACCEPTED or REJECTED, ``reason`` says why (one line); ``lncc`` the similarity and ``overlap`` the
    share of the frame's valid area inside the volume, both NaN where there are none; ``runtime_ms`` that of the
    registration alone; ``world_from_pixel`` (4, 4) the registered ImageToWorld, also of a rejected frame.
    """

    frame: int
    timestamp: float
    status: str
    reason: str
    lncc: float
    overlap: float
    runtime_ms: float
    world_from_pixel: Array


def write_poses(path: str | Path, rows: Sequence[PoseRow]) -> None:
    """Write POSES.csv, whole or not at all. Raises InputError when its folder cannot be written."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            numbers = [f"{getattr(row, name):.9g}" for name in _NUMBERS[1:]]
            matrix = [f"{value:.12g}" for value in row.world_from_pixel[:3].ravel()]
            writer.writerow([row.frame, f"{row.timestamp:.6f}", row.status, row.reason, *numbers, *matrix])


def read_poses(path: str | Path) -> list[PoseRow]:
    """Read POSES.csv.

    Raises InputError, naming file and line, for a missing or empty file, missing columns, a status other than ACCEPTED
    and REJECTED, and numbers that are missing, none, not finite (lncc and overlap may be NaN), or beyond all bounds.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    rows = [_row(where, record) for where, record in read_table(path, COLUMNS)]
    if not rows:
        raise InputError(f"{path}: holds no frame")
    return rows


def _row(where: str, record: dict[str, str]) -> PoseRow:
    status = record["status"]
    if status not in (ACCEPTED, REJECTED):
        raise InputError(f"{where}: status {status!r} is neither {ACCEPTED} nor {REJECTED}")
    world_from_pixel = np.eye(4)
    world_from_pixel[:3] = np.reshape([_number(where, record, name) for name in _MATRIX], (3, 4))
    if not np.isfinite(world_from_pixel).all():
        raise InputError(f"{where}: its matrix holds NaN or infinite values")
    if np.abs(world_from_pixel).max() > FARTHEST:
        raise InputError(f"{where}: its matrix holds values beyond {FARTHEST:g} mm")
    if np.linalg.norm(np.cross(world_from_pixel[:3, 0], world_from_pixel[:3, 1])) == 0.0:
        raise InputError(f"{where}: its matrix is singular: it gives the pixels no size")
    timestamp, lncc, overlap, runtime_ms = (_number(where, record, name) for name in _NUMBERS)
    if not (abs(timestamp) <= LATEST and np.isfinite(runtime_ms)):
        raise InputError(f"{where}: its timestamp or runtime_ms is NaN, infinite or beyond all times")
    frame = record["frame"]
    if not (frame.isascii() and frame.isdigit() and len(frame) < 10):
        raise InputError(f"{where}: frame is not a whole number of up to 9 digits ({frame[:20]})")
    return PoseRow(int(frame), timestamp, status, record["reason"], lncc, overlap, runtime_ms, world_from_pixel)


def _number(where: str, record: dict[str, str], name: str) -> float:
    text = record[name]
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where}: {name} is not a number ({text[:40]})") from None
