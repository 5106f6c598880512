"""STL files, binary and ASCII. VTK's reader guesses which of the two a file is, and takes truncated text for binary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.anatomy.polydata import MOST_TRIANGLES
from deeprs2v_ros.errors import InputError

_HEADER = 84  # bytes: 80 of comment, and the number of triangles
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("colour", "<u2")])
_LONGEST_LINE = 1 << 12
_AT_ONCE = 100_000  # lines


def read_corners(path: Path) -> NDArray[np.float32]:
    """The three corners of each triangle, (M, 3, 3) mm.

    Raises InputError, without the file's name, for what is neither kind of STL, is truncated, or holds more than
    `MOST_TRIANGLES`.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
        count = int.from_bytes(header[80:], "little")
        binary = len(header) == _HEADER and path.stat().st_size == _HEADER + count * _FACET.itemsize
        if binary:
            _check_count(count)
            return np.fromfile(file, _FACET, count)["corners"].copy()
    if header.lstrip()[:5].lower() != b"solid":
        raise InputError(f"is no STL file, or truncated: its length is not that of {count} triangles")
    blocks = list(_blocks(path))
    corners = np.concatenate(blocks) if blocks else np.empty((0, 3), np.float32)
    if len(corners) % 3:
        raise InputError("is damaged: its facets do not have three corners each")
    return corners.reshape(-1, 3, 3)


def _blocks(path: Path) -> Iterator[NDArray[np.float32]]:
    """The corners (n, 3) in a text, some at a time."""
    words: list[bytes] = []
    total, facets, last = 0, 0, b""
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise InputError("is damaged: it has a line without an end")
            line = line.strip().lower()
            last = line or last
            if line.startswith(b"vertex"):
                corner = line.split()[1:]
                if len(corner) != 3:
                    raise InputError("is damaged: a vertex does not have three coordinates")
                words += corner
                total += 1
                _check_count(total // 3)
            elif line.startswith(b"endfacet"):
                facets += 1
            if len(words) >= 3 * _AT_ONCE:
                yield _numbers(words)
                words = []
    if not last.startswith(b"endsolid") or 3 * facets != total:
        raise InputError("is truncated or damaged: its text has no end, or facets without three corners")
    yield _numbers(words)


def _numbers(words: list[bytes]) -> NDArray[np.float32]:
    try:
        return np.array([float(word) for word in words], np.float32).reshape(-1, 3)
    except ValueError as error:
        raise InputError(f"is damaged: {error}") from error


def _check_count(triangles: int) -> None:
    if triangles > MOST_TRIANGLES:
        raise InputError(f"holds {triangles} triangles, more than {MOST_TRIANGLES}")
