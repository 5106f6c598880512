"""Text headers of MetaImage (.mha) and NRRD (.nrrd) files, with the pixels that follow them in the same file."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError

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
    "float": "f4", "double": "f8",
}  # fmt: skip
_CHANNEL_KINDS = {"list", "vector", "rgb-color", "rgba-color", "3-color", "4-color", "3-vector", "4-vector"}
_LONGEST_LINE = 1 << 20
_MOST_COMPRESSED = 1100  # deflate cannot make data smaller than by this factor
_CHUNK = 1 << 22
_ZLIB, _GZIP = 15, 31  # the window bits by which zlib tells the two formats apart


@dataclass(frozen=True)
class Header:
    """What a header says: its ``fields`` as text, and how the pixels after it are stored.

    ``sizes`` are those of the file, fastest axis first and without the channel axis; ``window_bits`` is zlib's, or
    None for plain pixels; ``offset`` is where the pixels begin and ``stored_bytes`` how many bytes they take in the
    file (None where the header does not tell).
    """

    path: Path
    fields: dict[str, str]
    sizes: tuple[int, ...]
    channels: int
    dtype: np.dtype
    window_bits: int | None
    offset: int
    stored_bytes: int | None

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the pixels in memory."""
        return int(np.prod(self.sizes, dtype=np.int64)) * self.channels * self.dtype.itemsize


def read_header(path: str | Path) -> Header:
    """Read the header of a MetaImage or NRRD file that holds its own pixels.

    Raises InputError for a missing file, another format, a header that ends early or lacks a needed field, pixels
    kept in another file, and a file shorter than its header says.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        header = _nrrd_header(path, file) if file.read(4) == b"NRRD" else _meta_header(path, file)
    held = path.stat().st_size - header.offset
    if header.stored_bytes is not None and held < header.stored_bytes:
        raise InputError(f"{path}: truncated: {held} of {header.stored_bytes} bytes of pixel data are there")
    return header


def read_pixels(header: Header) -> NDArray:
    """The pixels of a file, shape ``sizes`` reversed, and the channels last where there are several.

    Raises InputError for pixel data that are truncated or damaged.
    """
    if header.pixel_bytes > _MOST_COMPRESSED * header.path.stat().st_size:
        raise InputError(f"{header.path}: truncated: it is too small for {header.pixel_bytes} bytes of pixels")
    flat = np.empty(header.pixel_bytes, np.uint8)
    filled = 0
    with header.path.open("rb") as file:
        file.seek(header.offset)
        inflate = None if header.window_bits is None else zlib.decompressobj(header.window_bits)
        while filled < flat.size and (chunk := file.read(_CHUNK)):
            if inflate is not None:
                try:
                    chunk = inflate.decompress(chunk)
                except zlib.error as error:
                    raise InputError(f"{header.path}: the compressed pixel data are damaged ({error})") from error
            chunk = chunk[: flat.size - filled]
            flat[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
    if filled < flat.size:
        raise InputError(f"{header.path}: truncated: {filled} of {flat.size} bytes of pixels are there")
    shape = header.sizes[::-1] + ((header.channels,) if header.channels > 1 else ())
    return flat.view(header.dtype).reshape(shape)


def _line(path: Path, file: BinaryIO) -> str:
    line = file.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise InputError(f"{path}: truncated, or not a MetaImage or NRRD file: its header has no end")
    return line.decode("latin-1").rstrip("\r\n")


def _meta_header(path: Path, file: BinaryIO) -> Header:
    file.seek(0)
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        key, equals, value = _line(path, file).partition("=")
        if not equals:
            raise InputError(f"{path}: not a MetaImage or NRRD file")
        fields[key.strip()] = value.strip()
    if fields["ElementDataFile"] != "LOCAL":
        raise InputError(f"{path}: its pixels are in another file ({fields['ElementDataFile']}); save it as one .mha")
    compressed = fields.get("CompressedData", "False").lower() == "true"
    big_endian = "true" in (
        fields.get("BinaryDataByteOrderMSB", "False").lower(),
        fields.get("ElementByteOrderMSB", "False").lower(),
    )
    sizes = _sizes(path, fields, "DimSize")
    channels = _whole_number(path, fields, "ElementNumberOfChannels", "1")
    dtype = _dtype(path, fields, "ElementType", _META_TYPES, big_endian)
    pixels = int(np.prod(sizes, dtype=np.int64)) * channels * dtype.itemsize
    if not compressed:
        stored: int | None = pixels
    else:
        stored = _whole_number(path, fields, "CompressedDataSize") if "CompressedDataSize" in fields else None
    return Header(path, fields, sizes, channels, dtype, _ZLIB if compressed else None, file.tell(), stored)


def _nrrd_header(path: Path, file: BinaryIO) -> Header:
    file.seek(0)
    fields: dict[str, str] = {}
    _line(path, file)
    while line := _line(path, file):
        if not line.startswith("#"):
            separator = ":=" if ":=" in line else ":"
            key, _, value = line.partition(separator)
            fields[key.strip()] = value.strip()
    for key in ("data file", "datafile"):
        if key in fields:
            raise InputError(f"{path}: its pixels are in another file ({fields[key]}); save it as one .nrrd")
    encoding = fields.get("encoding", "")
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(f"{path}: its encoding {encoding!r} is not read; save it as raw or gzip")
    sizes = _sizes(path, fields, "sizes")
    kinds = fields.get("kinds", "").split()
    channels = 1
    if len(kinds) == len(sizes) and kinds[0].lower() in _CHANNEL_KINDS:
        channels, sizes = sizes[0], sizes[1:]
    dtype = _dtype(path, fields, "type", _NRRD_TYPES, fields.get("endian", "little") == "big")
    compressed = encoding != "raw"
    pixels = int(np.prod(sizes, dtype=np.int64)) * channels * dtype.itemsize
    stored = None if compressed else pixels
    return Header(path, fields, sizes, channels, dtype, _GZIP if compressed else None, file.tell(), stored)


def _sizes(path: Path, fields: dict[str, str], name: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in fields[name].split())
    except (KeyError, ValueError):
        raise InputError(f"{path}: its header has no usable {name}") from None
    if not sizes or min(sizes) < 1:
        raise InputError(f"{path}: its {name} ({fields[name]}) is empty")
    return sizes


def _whole_number(path: Path, fields: dict[str, str], name: str, default: str | None = None) -> int:
    text = fields.get(name, default)
    if text is None or not text.isdigit():
        raise InputError(f"{path}: its header has no usable {name}")
    return int(text)


def _dtype(path: Path, fields: dict[str, str], name: str, types: dict[str, str], big_endian: bool) -> np.dtype:
    if fields.get(name) not in types:
        raise InputError(f"{path}: its {name} ({fields.get(name)}) is not a type that is read")
    return np.dtype((">" if big_endian else "<") + types[fields[name]])
