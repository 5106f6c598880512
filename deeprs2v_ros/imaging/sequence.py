"""Tracked ultrasound sequences in PLUS's format: MetaImage (.igs.mha) and NRRD (.igs.nrrd)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence as Items
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.headers import Header, read_header, read_pixels

_TRANSFORM = "ImageToWorldTransform"
_FRAME_FIELD = re.compile(r"Seq_Frame(\d{1,9})_(\w+)")
FARTHEST = 1e6
"""mm of any number in a transform."""
LATEST = 9e9
"""s of a time stamp, either way: what whole nanoseconds of 64 bits can say."""
_MOST_PARALLEL = 1e-6  # sine of the smallest angle between the two pixel axes of a usable transform


@dataclass(frozen=True)
class Sequence:
    """Frames with the poses of their image planes.

    ``frames`` uint8 (N, rows, columns); ``world_from_pixel`` (N, 4, 4) maps (u, v, 0, 1) pixels to mm; ``timestamps``
    (N,) in s; ``valid`` (N,) is False for a frame whose image or transform was not OK when it was recorded. The
    transform of such a frame may be NaN.
    """

    frames: NDArray[np.uint8]
    world_from_pixel: Array
    timestamps: Array
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frames)


def read_sequence(path: str | Path) -> Sequence:
    """Read a sequence with ImageToWorld transforms.

    They belong to the pixels as stored, so the orientation that the file names changes nothing. Colour becomes
    luminance. Statuses that are absent count as OK. Without any time stamp the frame number is the time.

    Raises InputError, naming the file and where it applies the frame, for a file that is missing, truncated or not of
    this format; pixels that are not whole numbers from 0 to 255; no transforms, fewer transforms than frames, and a
    transform that has not 16 numbers, is not finite, does not end in (0, 0, 0, 1) or makes no plane; and a time stamp
    that is missing while others are there, not finite, or beyond `LATEST`; and more pixels than `headers.MOST_BYTES`.
    """
    path = Path(path)
    header = read_header(path)
    header.check_readable()
    *_, count = _shape(header)
    fields = _frame_fields(header.fields)
    others = {name for frame in fields.values() for name in frame if name.endswith("Transform")}
    if _TRANSFORM not in others:
        found = f" (only {', '.join(sorted(others))})" if others else ""
        raise InputError(f"{path}: has no {_TRANSFORM} for its frames{found}")

    frames, transforms, valid = [], [], []
    for index in range(count):  # a header may ask for any number, and ends here with the first that it does not give
        frame = fields.get(index, {})
        tracked = frame.get(_TRANSFORM + "Status", "OK") == "OK"
        where = f"{path}: frame {index}"
        transforms.append(_transform(where, frame.get(_TRANSFORM)) if tracked else np.full((4, 4), np.nan))
        valid.append(tracked and frame.get("ImageStatus", "OK") == "OK")
        frames.append(frame)
    return Sequence(_grey(header), np.array(transforms), _timestamps(path, frames), np.array(valid))


def write_sequence(path: str | Path, sequence: Sequence) -> None:
    """Write a sequence, compressed, whole or not at all, as .mha or .nrrd.

    A frame that is not valid gets the status INVALID, and the identity where its transform is NaN.
    Raises InputError for another suffix and for a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".mha", ".nrrd"):
        raise InputError(f"{path}: a sequence is written as .igs.mha or .igs.nrrd")
    count, rows, columns = sequence.frames.shape
    deflate = zlib.compressobj(3, wbits=15 if path.suffix == ".mha" else 31)
    body = [deflate.compress(np.ascontiguousarray(frame, dtype=np.uint8)) for frame in sequence.frames]
    body.append(deflate.flush())
    if path.suffix == ".mha":
        size = sum(len(part) for part in body)
        head = [
            "ObjectType = Image", "NDims = 3", "AnatomicalOrientation = RAI", "BinaryData = True",
            "BinaryDataByteOrderMSB = False", "CenterOfRotation = 0 0 0", "CompressedData = True",
            f"CompressedDataSize = {size}", f"DimSize = {columns} {rows} {count}", "ElementNumberOfChannels = 1",
            "ElementSpacing = 1 1 1", "ElementType = MET_UCHAR", "Kinds = domain domain list", "Offset = 0 0 0",
            "TransformMatrix = 1 0 0 0 1 0 0 0 1", "UltrasoundImageOrientation = MFA",
            "UltrasoundImageType = BRIGHTNESS",
        ]  # fmt: skip
        separator, end = " = ", "ElementDataFile = LOCAL"
    else:
        head = [
            "NRRD0004", "type: unsigned char", "dimension: 3", f"sizes: {columns} {rows} {count}",
            "kinds: domain domain list", "encoding: gzip", "UltrasoundImageOrientation:=MFA",
            "UltrasoundImageType:=BRIGHTNESS",
        ]  # fmt: skip
        separator, end = ":=", ""
    for index in range(count):
        head += [f"Seq_Frame{index:04d}_{name}{separator}{value}" for name, value in _values(sequence, index)]
    with written_whole(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join([*head, end, ""]).encode("ascii"))
        file.writelines(body)


def _values(sequence: Sequence, index: int) -> list[tuple[str, str]]:
    transform = sequence.world_from_pixel[index]
    if not np.isfinite(transform).all():
        transform = np.eye(4)
    status = "OK" if sequence.valid[index] else "INVALID"
    return [
        ("FrameNumber", str(index)),
        (_TRANSFORM, " ".join(f"{value:.12g}" for value in transform.ravel())),
        (_TRANSFORM + "Status", status),
        ("ImageStatus", "OK"),
        ("Timestamp", f"{sequence.timestamps[index]:.6f}"),
    ]


def _shape(header: Header) -> tuple[int, int, int]:
    """Rows, columns and frames; a third axis of one voxel, which PLUS gives 2D frames in 4D files, is dropped."""
    sizes = header.sizes
    if len(sizes) == 4 and sizes[2] == 1:
        sizes = (sizes[0], sizes[1], sizes[3])
    if len(sizes) == 2:
        sizes = (*sizes, 1)
    if len(sizes) != 3:
        raise InputError(f"{header.path}: has sizes {' '.join(map(str, sizes))}; a sequence has columns, rows, frames")
    columns, rows, count = sizes
    return rows, columns, count


def _frame_fields(fields: dict[str, str]) -> dict[int, dict[str, str]]:
    frames: dict[int, dict[str, str]] = {}
    for key, value in fields.items():
        match = _FRAME_FIELD.fullmatch(key)
        if match:
            frames.setdefault(int(match[1]), {})[match[2]] = value
    return frames


def _transform(where: str, text: str | None) -> Array:
    if text is None:
        raise InputError(f"{where}: has no {_TRANSFORM}")
    try:
        values = np.array(text.split(), dtype=float)
    except ValueError:
        raise InputError(f"{where}: its {_TRANSFORM} is not made of numbers") from None
    if values.size != 16:
        raise InputError(f"{where}: its {_TRANSFORM} has {values.size} numbers instead of 16")
    if not np.isfinite(values).all():
        raise InputError(f"{where}: its {_TRANSFORM} holds NaN or infinite values")
    if np.abs(values).max() > FARTHEST:
        raise InputError(f"{where}: its {_TRANSFORM} holds values beyond {FARTHEST:g} mm")
    transform = values.reshape(4, 4)
    if not np.allclose(transform[3], (0, 0, 0, 1)):
        raise InputError(f"{where}: the last row of its {_TRANSFORM} is not 0 0 0 1")
    across, down = transform[:3, 0], transform[:3, 1]
    area = np.linalg.norm(np.cross(across, down))
    if area <= _MOST_PARALLEL * np.linalg.norm(across) * np.linalg.norm(down):
        raise InputError(f"{where}: its {_TRANSFORM} is singular: it gives the pixels no size")
    return transform


def _timestamps(path: Path, fields: Items[dict[str, str]]) -> Array:
    if not any("Timestamp" in frame for frame in fields):
        return np.arange(len(fields), dtype=float)
    times = np.empty(len(fields))
    for index, frame in enumerate(fields):
        try:
            times[index] = float(frame["Timestamp"])
        except (KeyError, ValueError):
            times[index] = np.nan
        if not abs(times[index]) <= LATEST:
            raise InputError(f"{path}: frame {index}: has no usable Timestamp ({frame.get('Timestamp', 'none')})")
    return times


def _grey(header: Header) -> NDArray[np.uint8]:
    """The pixels as uint8 (frames, rows, columns)."""
    path, (rows, columns, count) = header.path, _shape(header)
    if header.channels not in (1, 3):
        raise InputError(f"{path}: has {header.channels} values a pixel; frames are grey (1) or RGB (3)")
    if np.issubdtype(header.dtype, np.floating):
        raise InputError(f"{path}: holds {header.dtype.name} pixels; frames are whole numbers from 0 to 255")
    pixels = read_pixels(header)
    if pixels.dtype != np.uint8:
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > 255:
            raise InputError(f"{path}: holds pixels from {low} to {high}; frames are whole numbers from 0 to 255")
        pixels = pixels.astype(np.uint8)
    if header.channels == 3:
        return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pixels.reshape(count, rows, columns, 3)])
    return pixels.reshape(count, rows, columns)
