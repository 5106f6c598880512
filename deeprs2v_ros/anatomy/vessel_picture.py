"""A picture of a volume's slices with the vessels outlined, to look at before they are used."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.imaging.volume import Volume

_COLUMNS = 4
_TILE = 480  # pixels along the longer side of a slice
_WHITE = 99.5  # percent of the data that are at most white
_GAMMA = 0.6  # dark vessels in dark tissue are to be told apart
_COLOUR = (60, 200, 255)  # blue green red
_GAP = 6
_LETTERS = (200, 200, 200)


def write_picture(path: str | Path, volume: Volume, vessels: NDArray[np.bool_]) -> None:
    """Write a PNG: slices across each axis of the array, a row an axis, where the ``vessels`` (z, y, x) are.

    Raises InputError if it cannot be written.
    """
    data = volume.array[volume.array != 0]
    low, high = float(data.min()), float(np.percentile(data, _WHITE))
    rows = []
    for axis, name in enumerate("zyx"):
        spacing = np.delete(volume.spacing[::-1], axis)
        tiles = []
        for index in _spread(vessels.any(axis=tuple(other for other in range(3) if other != axis))):
            plane = np.take(volume.array, index, axis).astype(np.float32)
            grey = np.where(plane != 0, np.clip((plane - low) / max(high - low, 1e-6), 0.0, 1.0) ** _GAMMA, 0.0)
            tiles.append(_tile(grey, np.take(vessels, index, axis), spacing, f"{name} = {index}"))
        rows.append(np.hstack([cv2.copyMakeBorder(tile, 0, 0, 0, _GAP, cv2.BORDER_CONSTANT) for tile in tiles]))
    width = max(row.shape[1] for row in rows)
    picture = np.vstack(
        [cv2.copyMakeBorder(row, 0, _GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows]
    )
    with written_whole(path) as temporary:
        if not cv2.imwrite(str(temporary), picture):
            raise InputError(f"{path}: cannot be written")


def _spread(there: NDArray[np.bool_]) -> list[int]:
    """Indices spread evenly over those that have vessels, or over all of them if none has."""
    indices = np.flatnonzero(there)
    if not indices.size:
        indices = np.arange(len(there))
    return sorted({int(indices[int(share * (len(indices) - 1))]) for share in np.linspace(0.125, 0.875, _COLUMNS)})


def _tile(grey: NDArray, vessels: NDArray[np.bool_], spacing: NDArray, label: str) -> NDArray[np.uint8]:
    """One slice with square pixels, (rows, columns, 3)."""
    extent = np.array(grey.shape) * spacing
    rows, columns = np.maximum(np.round(extent * (_TILE / extent.max())), 1).astype(int).tolist()
    image = cv2.resize((255.0 * grey).astype(np.uint8), (columns, rows), interpolation=cv2.INTER_LINEAR)
    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    mask = cv2.resize(vessels.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, _COLOUR, 1)
    cv2.putText(image, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _LETTERS, 1, cv2.LINE_AA)
    return image
