"""What the names of image encodings mean."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np


class CvBridgeError(TypeError):
    """A message or an array that cannot be converted as asked."""


@dataclass(frozen=True)
class Encoding:
    """Type of a number, numbers per pixel, and the name that OpenCV has for their colours, "" for none."""

    dtype: np.dtype
    channels: int
    colour: str


COLOURS = {
    f"{name}{bits}": Encoding(np.dtype(f"u{bits // 8}"), channels, colour)
    for bits in (8, 16)
    for name, channels, colour in (
        ("mono", 1, "GRAY"),
        ("bgr", 3, "BGR"),
        ("rgb", 3, "RGB"),
        ("bgra", 4, "BGRA"),
        ("rgba", 4, "RGBA"),
    )
}
TYPES = {"8U": "u1", "8S": "i1", "16U": "u2", "16S": "i2", "32S": "i4", "32F": "f4", "64F": "f8"}
PLAIN = re.compile(f"({'|'.join(TYPES)})C([1-4])")


def encoding(name: str) -> Encoding:
    """The encoding with a name. Raises CvBridgeError if there is none; the official one knows Bayer and YUV as well."""
    if name in COLOURS:
        return COLOURS[name]
    plain = PLAIN.fullmatch(name)
    if plain is None:
        raise CvBridgeError(f"Unrecognized image encoding [{name}]")
    return Encoding(np.dtype(TYPES[plain[1]]), int(plain[2]), "")


def name_of(dtype: np.dtype, channels: int) -> str:
    """The name of the plain encoding of such numbers, like 8UC3. Raises KeyError, as the official one, if none."""
    return {np.dtype(code): name for name, code in TYPES.items()}[dtype.newbyteorder("=")] + f"C{channels}"
