"""Label maps as files, with the names that 3D Slicer shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deeprs2v_ros.imaging.volume import Volume, write_volume

_COLOURS = ("0.27 0.53 0.93", "0.90 0.45 0.20", "0.40 0.75 0.35")  # red green blue


def write_segmentation(path: str | Path, labels: Volume, names: Mapping[int, str]) -> None:
    """Write a label map as `imaging.volume.write_volume` does; a .seg.nrrd also tells the ``names`` of the labels.

    Raises InputError as `write_volume`.
    """
    x, y, z = (size - 1 for size in labels.size)
    fields = {}
    if str(path).endswith(".seg.nrrd"):
        for number, (label, name) in enumerate(names.items()):
            segment = f"Segment{number}"
            fields |= {
                f"{segment}_ID": f"Segment_{label}",
                f"{segment}_Name": name,
                f"{segment}_LabelValue": str(label),
                f"{segment}_Layer": "0",
                f"{segment}_Extent": f"0 {x} 0 {y} 0 {z}",
                f"{segment}_Color": _COLOURS[number % len(_COLOURS)],
            }
    write_volume(path, labels, fields)
