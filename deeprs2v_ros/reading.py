"""Text files that others wrote, read within bounds: YAML, and CSV with one line of headings.

Whatever is in them, they cost no more memory than their limits allow, and what is wrong is an InputError.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file
from deeprs2v_ros.geometry import Array

MOST_TEXT = 1 << 28
"""Bytes of a text file."""
MOST_YAML = 1 << 20
"""Bytes of a YAML file: reading it takes seconds already."""
MOST_NODES = 200_000
"""Values in a YAML file, those counted again that an alias repeats."""
DEEPEST = 32
"""Levels of a YAML file."""


def read_text(path: str | Path, otherwise: str, most: int = MOST_TEXT) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. ``otherwise`` says what it is not if it is none.

    Raises InputError naming the file if it is missing, cannot be read, is longer than ``most`` bytes, or holds no text.
    """
    path = Path(path)
    if not is_file(path):  # a device or a pipe may never end
        raise InputError(f"{path}: cannot be read (no such file)".replace("\0", "?"))
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > most:
        raise InputError(f"{path}: is longer than {most} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {otherwise} (its byte {error.start} is no text)") from error


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises InputError naming the file as `read_text`, and for what is no YAML, is nested deeper than `DEEPEST`, or grows
    beyond `MOST_NODES` values by its aliases.
    """
    text = read_text(path, "not a YAML file", MOST_YAML)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {}, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested deeper than {DEEPEST} levels") from error
    except Exception as error:  # scalars that do not fit their tag make the library raise anything
        raise InputError(f"{path}: not a YAML file ({' '.join(str(error).split())[:200]})") from error


def _measure(node: yaml.Node, measured: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Values and levels below a ``node``, each alias in its whole extent."""
    if id(node) in measured:
        count, levels = measured[id(node)]
        if not count:
            raise InputError("holds an alias of what it is part of")
    elif isinstance(node, yaml.CollectionNode):
        measured[id(node)] = (0, 0)  # under way
        count, levels = 1, 0
        for entry in node.value:
            for each in entry if isinstance(entry, tuple) else (entry,):
                if depth >= DEEPEST:
                    raise InputError(f"is nested deeper than {DEEPEST} levels")
                more, below = _measure(each, measured, depth + 1)
                count, levels = count + more, max(levels, below + 1)
        measured[id(node)] = (count, levels)
    else:
        count, levels = 1, 0
    if count > MOST_NODES:
        raise InputError(f"its aliases make it grow beyond {MOST_NODES} values")
    if depth + levels > DEEPEST:
        raise InputError(f"is nested deeper than {DEEPEST} levels")
    return count, levels


def read_table(path: str | Path, needed: tuple[str, ...] | list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file by its headings, each with its place, ``file: line N``. Blanks around words do not count.

    What a short row lacks is empty. Raises InputError naming the file as `read_text`, for what is no CSV, a ``needed``
    column that is missing, and a column that is there twice.
    """
    reader = csv.reader(io.StringIO(read_text(path, "is not a CSV file"), newline=""))
    try:
        headings = [word.strip() for word in next(reader, [])]
        missing = [name for name in needed if name not in headings]
        if missing:
            raise InputError(f"{path}: has no column {', '.join(missing)}")
        twice = [name for name in needed if headings.count(name) > 1]
        if twice:
            raise InputError(f"{path}: has the column {twice[0]} twice")
        for row in reader:
            if row:
                cells = [word.strip() for word in row] + [""] * (len(headings) - len(row))
                yield f"{path}: line {reader.line_num}", dict(zip(headings, cells, strict=False))
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV file ({error})") from error


def read_columns(path: str | Path) -> Array:
    """Numbers in the lines below one line of headings of a CSV file, (lines, columns).

    Raises InputError naming the file as `read_text`, and for what is no table of numbers.
    """
    lines = read_text(path, "is not a CSV file").splitlines()[1:]
    try:
        return np.array([[float(word) for word in line.split(",")] for line in lines if line.strip()], dtype=float)
    except ValueError as error:
        raise InputError(f"{path}: is no table of numbers ({error})") from error


def finite(value: Any, where: str, most: float = math.inf) -> float:
    """``value``, a number or its text, as a float.

    Raises InputError naming ``where`` unless it is finite and at most ``most`` in size.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where} is {_short(value)}, not a number")
    if abs(number) > most:
        raise InputError(f"{where} is {_short(value)}, beyond {most:g}")
    return number


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a number of more than 30 digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
