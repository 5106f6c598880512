"""Landmarks of a clip, such as vessel bifurcations: where its frames show them, and where they are in the volume.

The target registration error (TRE) of a landmark that frame i shows at p (image frame, mm) and that lies at y in the
volume is |Y p - y| under the registered pose Y of that frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file
from deeprs2v_ros.geometry import Array, apply, inverse, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence as Clip
from deeprs2v_ros.reading import read_table, read_text

COLUMNS = ("frame", "image_x", "image_y", "image_z", "volume_x", "volume_y", "volume_z")

NEAR = 3.0
"""mm: a landmark of the volume belongs to the frames whose true plane passes as near. It is half the thickness of the
slice that a probe of abdominal frequency sees at depth."""

_FROM_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
_MILLIMETRES = {"mm": 1.0, "um": 1e-3}


@dataclass(frozen=True)
class Landmarks:
    """M landmarks: the ``frames`` (M,) of the clip that show them, and their places (M, 3) mm.

    ``shown`` is in the image frame, ``placed`` in the volume.
    """

    frames: NDArray[np.int64]
    shown: Array
    placed: Array

    def errors(self, frame: int, world_from_pixel: Array) -> Array:
        """TRE (mm) of each landmark of a ``frame`` of the clip under its registered pixel transform (4, 4)."""
        here = self.frames == frame
        world_from_image, _ = split_pixel_transform(world_from_pixel)
        return np.linalg.norm(apply(world_from_image, self.shown[here]) - self.placed[here], axis=1)


def read_landmarks(path: str | Path, clip: Clip) -> Landmarks:
    """Read the landmarks of ``clip``, whose poses are the true ones.

    A CSV file has a line for each landmark in each frame that shows it (`COLUMNS`). A Slicer markups file (.mrk.json)
    has points in the volume's world; such a point is shown by every valid frame whose true plane passes within `NEAR`
    mm of it, at its place in that frame.

    Raises InputError, naming the file and where it applies the line or the point, for a file that is missing or of
    neither kind, columns or positions that are missing or not finite numbers, frames that the clip does not have, an
    unknown coordinate system or unit, and a file without any landmark in the clip.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    if path.suffix == ".csv":
        landmarks = _read_csv(path, len(clip))
    elif path.suffix == ".json":
        landmarks = near_planes(np.array(list(_control_points(path))).reshape(-1, 3), clip)
    else:
        raise InputError(f"{path}: landmarks are a .csv or a Slicer .mrk.json file")
    if not len(landmarks.frames):
        raise InputError(f"{path}: holds no landmark that a frame of the clip shows")
    return landmarks


def near_planes(points: Array, clip: Clip) -> Landmarks:
    """Landmarks of ``points`` (K, 3) in the volume, in all frames whose true plane and picture pass near them."""
    frames, shown, placed = [], [], []
    rows, columns = clip.frames.shape[1:]
    for frame in np.flatnonzero(clip.valid):
        world_from_image, image_from_pixel = split_pixel_transform(clip.world_from_pixel[frame])
        here = apply(inverse(world_from_image), points)
        pixel = apply(np.linalg.inv(image_from_pixel), here)[:, :2]
        seen = (np.abs(here[:, 2]) <= NEAR) & (pixel >= 0).all(axis=1) & (pixel <= (columns - 1, rows - 1)).all(axis=1)
        frames += [frame] * np.count_nonzero(seen)
        shown.append(here[seen])
        placed.append(points[seen])
    return Landmarks(np.array(frames, dtype=int), np.concatenate(shown), np.concatenate(placed))


def _read_csv(path: Path, frames: int) -> Landmarks:
    values = [_numbers(where, [row[name] for name in COLUMNS]) for where, row in read_table(path, COLUMNS)]
    table = np.array(values).reshape(-1, len(COLUMNS))
    unknown = [number for number in table[:, 0] if number not in range(frames)]
    if unknown:
        raise InputError(f"{path}: frame {unknown[0]:g} is not one of the clip's {frames} (counted from 0)")
    return Landmarks(table[:, 0].astype(int), table[:, 1:4], table[:, 4:])


def _control_points(path: Path) -> Iterator[Array]:
    """Positions (3,) in the volume's world, which is ITK's and so LPS, of all control points that have been placed."""
    try:
        markups = json.loads(read_text(path, "is not a Slicer markups file"))["markups"]
        for markup in markups:
            system, unit = markup.get("coordinateSystem", "LPS"), markup.get("coordinateUnits", "mm")
            unit = unit[0] if isinstance(unit, list) else unit
            if system not in _FROM_LPS or unit not in _MILLIMETRES:
                raise InputError(f"{path}: coordinates in {system}, {unit}; known are LPS and RAS, mm and um")
            for point in markup.get("controlPoints", ()):
                if point.get("positionStatus", "defined") == "defined":
                    position = _numbers(f"{path}: point {point.get('label', '')}".rstrip(), point["position"])
                    yield np.array(position) * _FROM_LPS[system] * _MILLIMETRES[unit]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not a Slicer markups file ({type(error).__name__}: {error})") from error


def _numbers(where: str, values: Sequence[Any]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        numbers = [np.nan]
    if not np.isfinite(numbers).all():
        raise InputError(f"{where}: {', '.join(map(str, values))} are not all numbers")
    return numbers
