"""Whether a PLY file is whole: where one ends early, VTK's reader takes what memory holds for the missing triangles."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from deeprs2v_ros.errors import InputError

_BYTES = {
    "char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8,
    "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "float64": 8,
}  # fmt: skip
_LONGEST_LINE, _LONGEST_HEADER = 1 << 12, 1 << 16


def check_whole(path: Path) -> None:
    """Raise InputError, without the file's name, unless all elements are there that the header of ``path`` names.

    In a binary file, each list counts as the three vertices of a triangle: those of polygons may be longer.
    """
    with path.open("rb") as file:
        kind, elements = _header(file)
        if kind == "ascii":
            lines, ended = 0, False
            while line := file.readline(_LONGEST_LINE):
                ended = line.endswith(b"\n")
                lines += bool(ended and line.strip())
            needed, held = sum(count for count, _ in elements), lines
        else:
            needed, held = sum(count * size for count, size in elements), path.stat().st_size - file.tell()
    if held < needed:
        raise InputError(f"is truncated: {held} of {needed} {'lines' if kind == 'ascii' else 'bytes'} are there")


def _header(file: BinaryIO) -> tuple[str, list[tuple[int, int]]]:
    """The format, and the number of each element with the bytes that one takes at least."""
    kind, elements = "", []
    while file.tell() < _LONGEST_HEADER and (line := file.readline(_LONGEST_LINE)):
        words = line.decode("latin-1").split()
        match words:
            case ["format", kind, _]:
                pass
            case ["element", _, count] if count.isascii() and count.isdigit() and len(count) < 12:
                elements.append((int(count), 0))
            case ["property", "list", number, entry, _] if elements and number in _BYTES and entry in _BYTES:
                elements[-1] = (elements[-1][0], elements[-1][1] + _BYTES[number] + 3 * _BYTES[entry])
            case ["property", entry, _] if elements and entry in _BYTES:
                elements[-1] = (elements[-1][0], elements[-1][1] + _BYTES[entry])
            case ["end_header"] if kind in ("ascii", "binary_little_endian", "binary_big_endian"):
                return kind, elements
            case ["element" | "property" | "end_header", *_]:
                break
    raise InputError("is no PLY file, or its header is damaged")
