"""Pairs of what the encoders said and where a tracker saw the tool.

CSV with one line of headings. ``q<n>`` is the angle of joint j<n>'s encoder in degrees, as logged: not wrapped, without
any zero. A coupled joint is logged as the joint's angle, by the cart's software; ``q<n>_raw`` beside it is its
encoder's. ``T_ndi_tool_ij`` is the row-major 3x4 pose of the tool in the tracker's frame, in mm. Of the lines with a
``flag``, only those that say ok count. Other columns are not read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.arm.curves import OutsideCurveError
from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.reading import finite, read_table

POSE_COLUMNS = [f"T_ndi_tool_{row}{column}" for row in range(3) for column in range(4)]
ROTATION_TOLERANCE = 1e-3
FARTHEST = 1e6
"""Degrees and mm of any number."""


@dataclass(frozen=True)
class Pairs:
    """N pairs, in the order in which they were taken.

    ``encoders`` (N, E) rad, one column for each of ``names``; ``tracker_from_tool`` (N, 4, 4) mm; ``lines`` (N,) are
    their places among the file's lines of data, from 0.
    """

    names: tuple[str, ...]
    encoders: Array
    tracker_from_tool: Array
    lines: NDArray[np.int64]
    source: str

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, chosen: NDArray | slice) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.names, self.encoders[chosen], self.tracker_from_tool[chosen], self.lines[chosen], self.source)


def encoder_names(arm: Arm) -> tuple[str, ...]:
    """The joints with an encoder between the arm's base and its flange."""
    return tuple(name for name in arm.chain.path_to(arm.flange) if name in arm.chain.joint_names)


def read_pairs(path: str | Path, arm: Arm) -> Pairs:
    """Read a CSV file of pairs. Raises InputError naming the file, the line and the fault."""
    names = encoder_names(arm)
    columns = [f"q{name.removeprefix('j')}" for name in names]
    rows = list(read_table(path, [*columns, *POSE_COLUMNS]))
    lines = [number for number, (_, row) in enumerate(rows) if row.get("flag", "") in ("", "ok")]
    if not lines:
        raise InputError(f"{path}: holds no pair that counts")
    encoders = np.empty((len(lines), len(names)))
    poses = np.tile(np.eye(4), (len(lines), 1, 1))
    for n, number in enumerate(lines):
        where, row = rows[number]
        logged = {
            name: math.radians(finite(row[column], f"{where}: {column}", FARTHEST))
            for name, column in zip(names, columns, strict=True)
        }
        for e, (name, column) in enumerate(zip(names, columns, strict=True)):
            raw = row.get(f"{column}_raw")
            if raw:
                encoders[n, e] = math.radians(finite(raw, f"{where}: {column}_raw", FARTHEST))
            else:
                encoders[n, e] = _encoder_angle(arm, name, logged, where)
        poses[n, :3] = np.reshape(
            [finite(row[column], f"{where}: {column}", FARTHEST) for column in POSE_COLUMNS], (3, 4)
        )
        rotation = poses[n, :3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > ROTATION_TOLERANCE or np.linalg.det(rotation) < 0.0:
            raise InputError(f"{where}: T_ndi_tool is no rigid pose")
    return Pairs(names, encoders, poses, np.array(lines), str(path))


def _encoder_angle(arm: Arm, name: str, logged: dict[str, float], where: str) -> float:
    """The encoder's angle behind a logged one: the same, but for a coupled joint."""
    coupling = arm.encoders.encoders[name].coupling
    if coupling is None:
        return logged[name]
    try:
        return coupling.encoder_from(logged[name], logged[coupling.joint])
    except OutsideCurveError as error:
        raise InputError(f"{where}: q{name.removeprefix('j')} {error}") from error
