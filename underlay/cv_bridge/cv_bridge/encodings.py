"""What the names of image encodings mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


class CvBridgeError(TypeError):
    """A message or an array that cannot be converted as asked."""


@dataclass(frozen=True)
class Encoding:
    """Type of a number, numbers per pixel, and their meaning as a colour: "gray", "bgr", "rgb", or "" for none."""

    dtype: np.dtype
    channels: int
    colour: str


ENCODINGS = {
    "mono8": Encoding(np.dtype(np.uint8), 1, "gray"),
    "mono16": Encoding(np.dtype(np.uint16), 1, "gray"),
    "bgr8": Encoding(np.dtype(np.uint8), 3, "bgr"),
    "rgb8": Encoding(np.dtype(np.uint8), 3, "rgb"),
    "8UC1": Encoding(np.dtype(np.uint8), 1, ""),
    "8UC3": Encoding(np.dtype(np.uint8), 3, ""),
    "16UC1": Encoding(np.dtype(np.uint16), 1, ""),
    "32FC1": Encoding(np.dtype(np.float32), 1, ""),
}


def encoding(name: str) -> Encoding:
    """The encoding with a name. Raises CvBridgeError if there is none."""
    if name not in ENCODINGS:
        raise CvBridgeError(f"Unrecognized image encoding [{name}]")
    return ENCODINGS[name]


def name_of(dtype: np.dtype, channels: int) -> str:
    """The name of the plain encoding of such numbers, like 8UC3. Raises CvBridgeError if there is none."""
    for name, candidate in ENCODINGS.items():
        if not candidate.colour and (candidate.dtype, candidate.channels) == (dtype.newbyteorder("="), channels):
            return name
    raise CvBridgeError(f"no image encoding holds {channels} channels of {dtype.name}")
