"""One method's results, set against the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.errors import PoseErrors, pose_errors
from deeprs2v_ros.evaluation.poses import ACCEPTED, PoseRow, read_poses
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.sequence import Sequence

BEFORE = "before registration"


@dataclass(frozen=True)
class Method:
    """A method's name and its errors; its rows of POSES.csv, which the poses before registration do not have."""

    name: str
    errors: PoseErrors
    rows: tuple[PoseRow, ...] = ()

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which frames the method accepted, (N,)."""
        return np.array([row.status == ACCEPTED for row in self.rows], dtype=bool)

    @property
    def runtime(self) -> Array:
        """Milliseconds a frame, (N,)."""
        return np.array([row.runtime_ms for row in self.rows])


def method_from_poses(name: str, path: Path, reference: Sequence) -> Method:
    """Set POSES.csv against the reference: frame i belongs to reference frame i modulo their number.

    Frames whose reference is not valid are left out. Raises InputError for a faulty file, for a frame that appears
    twice, for reference frames that are missing or not there equally often, and for pixels of another size.
    """
    rows = sorted(read_poses(path), key=lambda row: row.frame)
    numbers = [row.frame for row in rows]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise InputError(f"{path}: frame {twice} appears more than once")
    seen = np.bincount(np.array(numbers) % len(reference), minlength=len(reference))[reference.valid]
    if seen.min() == 0 or seen.min() < seen.max():
        raise InputError(
            f"{path}: its {len(rows)} frames do not hold each of the reference's {seen.size} valid frames equally often"
        )
    rows = [row for row in rows if reference.valid[row.frame % len(reference)]]
    truth = reference.world_from_pixel[[row.frame % len(reference) for row in rows]]
    found = np.array([row.world_from_pixel for row in rows])
    return Method(name, _errors(path, truth, found, reference), tuple(rows))


def method_from_start(path: Path, start: Sequence, reference: Sequence) -> Method:
    """The poses before registration, from the sequence that was registered, as a first row to compare with."""
    if len(start) % len(reference):
        raise InputError(f"{path}: holds {len(start)} frames, not a multiple of the reference's {len(reference)}")
    repeats = len(start) // len(reference)
    usable = start.valid & np.tile(reference.valid, repeats)
    truth = np.tile(reference.world_from_pixel, (repeats, 1, 1))[usable]
    return Method(BEFORE, _errors(path, truth, start.world_from_pixel[usable], reference))


def _errors(path: Path, truth: Array, found: Array, reference: Sequence) -> PoseErrors:
    try:
        return pose_errors(truth, found, reference.frames.shape[1:])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
