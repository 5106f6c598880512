"""What the files of a bag may ask for, checked before a library reads them without a bound.

Compressed data may inflate to anything, a database may answer a question for ever, and a pipe may never end.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

from backports import zstd
from lz4.frame import LZ4FrameDecompressor

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.reading import read_yaml

MOST_CHUNK = 10**9
"""Bytes of an inflated chunk of MCAP."""
_PIECE = 1 << 22
_MAGIC = b"\x89MCAP0\r\n"
_CHUNK, _CHUNK_INDEX = 6, 8
_CHUNK_HEAD = Struct("<QQQII")  # times, inflated size, checksum, length of the compression's name
_INDEX_HEAD = Struct("<QQQQI")  # times, place and length of the chunk, length of a map
_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {b"zstd": zstd.ZstdDecompressor, b"lz4": LZ4FrameDecompressor}


def check_files(folder: Path) -> None:
    """Raise InputError for a file that would take more memory, disk or time than a recording can."""
    read_yaml(folder / "metadata.yaml")
    for path in sorted(folder.iterdir()):
        if not path.is_dir() and not path.is_file():
            raise InputError(f"{path}: is no ordinary file")
        check = {".mcap": _check_mcap, ".db3": _check_database, ".zstd": _check_compressed_file}.get(path.suffix)
        if check is not None:
            check(path)


def _check_mcap(path: Path) -> None:
    with path.open("rb") as file:
        for start, stored, compression in set(_chunks(file, path.stat().st_size)):
            make = _DECOMPRESSORS.get(compression)
            if make is not None:
                file.seek(start)
                _check_inflated(path, file, stored, make, MOST_CHUNK)


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes]]:
    """Place, length and compression of all chunks' data, by their records and by the index, until it is no MCAP."""
    if file.read(len(_MAGIC)) != _MAGIC:
        return
    while len(head := file.read(9)) == 9:
        start, length = file.tell(), int.from_bytes(head[1:], "little")
        if length > size - start:
            return
        record = file.read(min(length, _PIECE)) if head[0] in (_CHUNK, _CHUNK_INDEX) else b""
        if head[0] == _CHUNK and len(record) >= _CHUNK_HEAD.size:
            *_, named = _CHUNK_HEAD.unpack_from(record)
            at = _CHUNK_HEAD.size + named
            yield start + at + 8, int.from_bytes(record[at : at + 8], "little"), record[_CHUNK_HEAD.size : at]
        elif head[0] == _CHUNK_INDEX and len(record) >= _INDEX_HEAD.size:
            _, _, place, _, mapped = _INDEX_HEAD.unpack_from(record)
            at = _INDEX_HEAD.size + mapped + 8  # after the map, the length of the messages' index
            named = int.from_bytes(record[at : at + 4], "little")
            at += 4 + named
            yield place + 49 + named, int.from_bytes(record[at : at + 8], "little"), record[at - named : at]
        file.seek(start + length)


def _check_database(path: Path) -> None:
    """A table is only as long as the file; what is computed when it is asked for may have no end."""
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
        try:
            computed = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'view' OR sql LIKE 'CREATE VIRTUAL%'"
            ).fetchone()
        finally:
            database.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a database that can be read ({error})") from error
    if computed is not None:
        raise InputError(f"{path}: its {computed[0]} is no table: nothing records such")


def _check_compressed_file(path: Path) -> None:
    """A bag that was compressed as a whole is inflated to a file of its own."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    with path.open("rb") as file:
        _check_inflated(path, file, path.stat().st_size, zstd.ZstdDecompressor, free)


def _check_inflated(path: Path, file: BinaryIO, stored: int, make: Callable[[], Any], most: int) -> None:
    """Inflate what comes next in ``file``, to nothing, until it is over or more than ``most`` bytes."""
    inflate, inflated, rest = make(), 0, b""
    while True:
        if inflate.eof:  # one frame may follow another
            rest = inflate.unused_data or b""
            inflate = make()
        if not rest and inflate.needs_input:
            rest = file.read(min(stored, _PIECE))
            stored -= len(rest)
            if not rest:
                return
        try:
            inflated += len(inflate.decompress(rest, max_length=_PIECE))
        except Exception:  # damaged: the reader says so
            return
        rest = b""
        if inflated > most:
            raise InputError(f"{path}: its data inflate to more than {most} bytes")
