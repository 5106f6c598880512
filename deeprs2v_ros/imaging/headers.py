"""Text headers of MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files, and the pixels behind them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file

_META_TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2", "MET_UINT": "u4", "MET_INT": "i4",
    "MET_ULONG": "u4", "MET_LONG": "i4", "MET_ULONG_LONG": "u8", "MET_LONG_LONG": "i8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NRRD_TYPES = {
    "unsigned char": "u1", "uchar": "u1", "uint8": "u1", "uint8_t": "u1",
    "signed char": "i1", "int8": "i1", "int8_t": "i1",
    "unsigned short": "u2", "ushort": "u2", "uint16": "u2", "uint16_t": "u2",
    "short": "i2", "int16": "i2", "int16_t": "i2",
    "unsigned int": "u4", "uint": "u4", "uint32": "u4", "uint32_t": "u4",
    "int": "i4", "int32": "i4", "int32_t": "i4",
    "long long": "i8", "longlong": "i8", "long long int": "i8", "int64": "i8", "int64_t": "i8",
    "unsigned long long": "u8", "ulonglong": "u8", "uint64": "u8", "uint64_t": "u8",
    "float": "f4", "double": "f8",
}  # fmt: skip
_CHANNEL_KINDS = {"list", "vector", "rgb-color", "rgba-color", "3-color", "4-color", "3-vector", "4-vector"}
MOST_BYTES = 2 * 10**9
"""Bytes of pixels that are read from one file, once they are inflated."""
_LONGEST_LINE, _LONGEST_HEADER = 1 << 20, 1 << 26
_LONGEST_FIELD = 1000  # of NRRD's own, beside which there are keys of anyone's
_MOST_COMPRESSED = 1100  # deflate cannot make data smaller than by this factor
_CHUNK = 1 << 20
_WINDOW_BITS = {"zlib": 15, "gzip": 31}  # by which zlib tells the two formats apart


@dataclass(frozen=True)
class Header:
    """What a header says: its ``fields`` as text, and how the pixels are stored.

    ``sizes`` are those of the file, fastest axis first and without the channel axis; ``encoding`` is raw, zlib, gzip,
    or one that is not read here. ``data`` is the file of the pixels, often that of the header itself, None where there
    are several; in it they begin at ``offset`` and take ``stored_bytes`` (None where the header does not tell).
    """

    path: Path
    fields: dict[str, str]
    sizes: tuple[int, ...]
    channels: int
    dtype: np.dtype
    encoding: str
    data: Path | None
    offset: int
    stored_bytes: int | None

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the pixels in memory."""
        return prod(self.sizes) * self.channels * self.dtype.itemsize

    def check_readable(self) -> None:
        """Raise InputError for pixels that `read_pixels` does not read, and as `check_data`."""
        if self.data != self.path:
            elsewhere = f"another file ({self.data.name})" if self.data else "other files"
            raise InputError(f"{self.path}: its pixels are in {elsewhere}; save it as one .mha or .nrrd")
        if self.encoding != "raw" and self.encoding not in _WINDOW_BITS:
            raise InputError(f"{self.path}: its encoding {self.encoding!r} is not read; save it as raw or gzip")
        self.check_data()

    def check_data(self) -> None:
        """Raise InputError for pixels that are missing, truncated, or take more than `MOST_BYTES`."""
        if self.data is None:
            return
        if not is_file(self.data):
            raise InputError(f"{self.path}: the file of its pixels, {self.data}, does not exist")
        size = self.data.stat().st_size
        held, about = size - self.offset, self.path if self.data == self.path else f"{self.path}: {self.data}"
        if self.stored_bytes is not None and held < self.stored_bytes:
            raise InputError(f"{about}: truncated: {held} of {self.stored_bytes} bytes of pixel data are there")
        if self.pixel_bytes > _MOST_COMPRESSED * size:
            raise InputError(f"{about}: truncated: it is too small for {self.pixel_bytes} bytes of pixels")
        check_size(self.path, self.pixel_bytes)


def check_size(path: Path, pixel_bytes: int) -> None:
    """Raise InputError for pixels that take more than `MOST_BYTES`."""
    if pixel_bytes > MOST_BYTES:
        raise InputError(f"{path}: its header asks for {pixel_bytes} bytes of pixels, more than {MOST_BYTES}")


def read_header(path: str | Path) -> Header:
    """Read the header of a MetaImage or NRRD file.

    Raises InputError for a missing file, another format, and a header that ends early or lacks a needed field.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        return _nrrd_header(path, file) if file.read(4) == b"NRRD" else _meta_header(path, file)


def read_pixels(header: Header) -> NDArray:
    """The pixels of a file, shape ``sizes`` reversed, and the channels last where there are several.

    Raises InputError as `Header.check_readable`, and for pixel data that are damaged, too short, or inflate to more
    than the header says.
    """
    path = header.path
    header.check_readable()
    flat = np.empty(header.pixel_bytes, np.uint8)
    filled = 0
    with path.open("rb") as file:
        file.seek(header.offset)
        if header.encoding == "raw":
            filled = file.readinto(flat)
        else:
            for piece in _inflated(header, file):
                if filled + len(piece) > flat.size:
                    raise InputError(f"{path}: its pixel data inflate to more than the {flat.size} bytes of its header")
                flat[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
                filled += len(piece)
    if filled < flat.size:
        raise InputError(f"{path}: truncated: {filled} of {flat.size} bytes of pixels are there")
    shape = header.sizes[::-1] + ((header.channels,) if header.channels > 1 else ())
    return flat.view(header.dtype).reshape(shape)


def _inflated(header: Header, file: BinaryIO) -> Iterator[bytes]:
    """What the rest of a file inflates to, in pieces that are never large."""
    inflate = zlib.decompressobj(_WINDOW_BITS[header.encoding])
    while not inflate.eof:
        stored = inflate.unconsumed_tail or file.read(_CHUNK)
        try:
            piece = inflate.decompress(stored, _CHUNK)
        except zlib.error as error:
            raise InputError(f"{header.path}: the compressed pixel data are damaged ({error})") from error
        if not stored and not piece:
            return
        yield piece


def _lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """The lines of a header, until the caller has seen its end."""
    file.seek(0)
    while file.tell() < _LONGEST_HEADER and (line := file.readline(_LONGEST_LINE)):
        if len(line) == _LONGEST_LINE:
            raise InputError(f"{path}: not a MetaImage or NRRD file: its header has a line without an end")
        yield line.decode("latin-1").rstrip("\r\n")


def _endless(path: Path) -> InputError:
    return InputError(f"{path}: truncated, or not a MetaImage or NRRD file: its header has no end")


def _meta_header(path: Path, file: BinaryIO) -> Header:
    fields: dict[str, str] = {}
    for line in _lines(path, file):
        key, equals, value = line.partition("=")
        if not equals:
            raise InputError(f"{path}: not a MetaImage or NRRD file")
        key, value = key.strip(), value.strip()
        if fields.setdefault(key, value) != value:  # SimpleITK takes the first, and may crash on it
            raise InputError(f"{path}: its field {key!r:.50} is there twice, with different values")
        if key == "ElementDataFile":
            break
    else:
        raise _endless(path)
    compressed = fields.get("CompressedData", "False").lower() == "true"
    big_endian = "true" in (
        fields.get("BinaryDataByteOrderMSB", "False").lower(),
        fields.get("ElementByteOrderMSB", "False").lower(),
    )
    sizes = _sizes(path, fields, "DimSize")
    channels = _whole_number(path, fields, "ElementNumberOfChannels", "1")
    dtype = _dtype(path, fields, "ElementType", _META_TYPES, big_endian)
    name = fields["ElementDataFile"]
    data, offset = (path, file.tell()) if name == "LOCAL" else (_beside(path, name), 0)
    if not compressed:
        stored: int | None = prod(sizes) * channels * dtype.itemsize
    else:
        stored = _whole_number(path, fields, "CompressedDataSize") if "CompressedDataSize" in fields else None
    return Header(path, fields, sizes, channels, dtype, "zlib" if compressed else "raw", data, offset, stored)


def _nrrd_header(path: Path, file: BinaryIO) -> Header:
    fields: dict[str, str] = {}
    for line in _lines(path, file):
        if not line:
            break
        if not line.startswith("#"):
            separator = ":=" if ":=" in line else ":"
            if separator == ":" and len(line) > _LONGEST_FIELD:
                raise InputError(f"{path}: its field {line[:30]!r}... has {len(line)} characters")
            key, _, value = line.partition(separator)
            fields[key.strip()] = value.strip()
    else:  # a header with its pixels elsewhere may end with the file
        if "data file" not in fields and "datafile" not in fields:
            raise _endless(path)
    encoding = fields.get("encoding", "")
    encoding = "gzip" if encoding == "gz" else encoding
    sizes = _sizes(path, fields, "sizes")
    kinds = fields.get("kinds", "").split()
    channels = 1
    if len(kinds) == len(sizes) > 1 and kinds[0].lower() in _CHANNEL_KINDS:
        channels, sizes = sizes[0], sizes[1:]
    dtype = _dtype(path, fields, "type", _NRRD_TYPES, fields.get("endian", "little") == "big")
    name = fields.get("data file", fields.get("datafile"))
    data, offset = (path, file.tell()) if name is None else (_beside(path, name), 0)
    stored = prod(sizes) * channels * dtype.itemsize if encoding == "raw" else None
    return Header(path, fields, sizes, channels, dtype, encoding, data, offset, stored)


def _beside(path: Path, name: str) -> Path | None:
    """The one file of the pixels that a header names, None for a list or a pattern of several."""
    return None if name.startswith("LIST") or "%" in name else path.parent / name


def _sizes(path: Path, fields: dict[str, str], name: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in fields[name].split())
    except (KeyError, ValueError):
        raise InputError(f"{path}: its header has no usable {name}") from None
    if not sizes or min(sizes) < 1:
        raise InputError(f"{path}: its {name} ({fields[name]}) is empty")
    return sizes


def _whole_number(path: Path, fields: dict[str, str], name: str, default: str | None = None) -> int:
    text = fields.get(name, default) or ""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(f"{path}: its header has no usable {name}")
    return int(text)


def _dtype(path: Path, fields: dict[str, str], name: str, types: dict[str, str], big_endian: bool) -> np.dtype:
    if fields.get(name) not in types:
        raise InputError(f"{path}: its {name} ({fields.get(name)}) is not a type that is read")
    return np.dtype((">" if big_endian else "<") + types[fields[name]])
