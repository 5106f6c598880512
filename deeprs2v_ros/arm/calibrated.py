"""What a calibration adds to an arm's description beside corrected numbers: where it was seen, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.reading import finite

KEYS = {"pairs", "tracker_from_base", "flange_from_tool", "tracker", "covariance", "seen", "locked", "undetermined"}

LARGEST = 1e9
"""Of any number in an arm's file."""

_ROTATION_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Calibration:
    """Made from ``pairs`` (text). ``tracker_from_base`` and ``flange_from_tool`` (4, 4) mm held at that time.

    ``tracker_position`` (mm) and ``tracker_rotation`` (rad) are the tracker's own deviations. ``covariance`` (6, 6) is
    that of the calibration itself, averaged over the poses that it saw: a small motion about the flange's origin, in
    its axes, mm and rad. ``seen`` is the range of every encoder's angle (rad), in the argument of its table.
    """

    pairs: str
    tracker_from_base: Array
    flange_from_tool: Array
    tracker_position: float
    tracker_rotation: float
    covariance: Array
    seen: Mapping[str, tuple[float, float]]


def read_calibration(entry: Any, where: str) -> Calibration:
    """The section ``calibration`` of a YAML file. Raises InputError naming ``where`` and the fault."""
    if not isinstance(entry, dict) or set(entry) != KEYS:
        raise InputError(f"{where}: needs exactly the keys {', '.join(sorted(KEYS))}")
    covariance = _array(entry["covariance"], (6, 6), f"{where}: covariance")
    if np.abs(covariance - covariance.T).max() > 1e-6 or np.linalg.eigvalsh(covariance).min() < -1e-6:
        raise InputError(f"{where}: covariance is not symmetric and positive")
    unit = np.array([1.0] * 3 + [math.radians(1.0)] * 3)
    try:
        seen = {str(name): tuple(np.radians(_array(ends, (2,), where))) for name, ends in entry["seen"].items()}
        position, rotation = (finite(entry["tracker"][key], f"its {key}", LARGEST) for key in ("position", "rotation"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: seen or tracker is malformed ({error})") from error
    return Calibration(
        str(entry["pairs"]),
        _pose(entry["tracker_from_base"], f"{where}: tracker_from_base"),
        _pose(entry["flange_from_tool"], f"{where}: flange_from_tool"),
        position,
        math.radians(rotation),
        covariance * np.outer(unit, unit),
        seen,
    )


def _pose(entry: Any, where: str) -> Array:
    rows = _array(entry, (3, 4), where)
    if np.abs(rows[:, :3] @ rows[:, :3].T - np.eye(3)).max() > _ROTATION_TOLERANCE or np.linalg.det(rows[:, :3]) < 0.0:
        raise InputError(f"{where}: is no rigid pose")
    return rigid(rows[:, :3], rows[:, 3])


def _array(entry: Any, shape: tuple[int, ...], where: str) -> Array:
    try:
        found = np.array(entry, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: {error}") from error
    if found.shape != shape or not (np.abs(found) <= LARGEST).all():
        raise InputError(f"{where}: is not {' x '.join(map(str, shape))} finite numbers")
    return found
