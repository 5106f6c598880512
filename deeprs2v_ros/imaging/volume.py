"""Three-dimensional images with their place in space."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file, written_whole
from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.imaging.headers import Header, check_size, read_header
from deeprs2v_ros.reading import finite

MOST_VOXELS = 10**9  # of a volume that is to be made
_CHUNK = 1 << 20
_OWN_HEADERS = (".mha", ".mhd", ".nrrd", ".nhdr")
_NUMBERS = (
    *("Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation"),
    *("space directions", "space origin", "measurement frame"),
)
_LONGEST_NUMBER = 40
_ORTHONORMAL = 1e-3  # what rounding in files leaves
_FINEST, _FARTHEST = 1e-6, 1e6  # mm
_ONE_FILE_SUFFIXES = (".mha", ".nrrd", ".nii", ".nii.gz")


@dataclass(frozen=True)
class Volume:
    """A 3D image: ``array`` in (z, y, x) order, with spacing and origin (x, y, z) in mm and a 3x3 direction.

    Columns of ``direction`` are the unit vectors of the x, y and z axis of the array, as in SimpleITK. Voxels that
    hold no data are 0.
    """

    array: NDArray
    spacing: Array
    origin: Array = field(default_factory=lambda: np.zeros(3))
    direction: Array = field(default_factory=lambda: np.eye(3))

    @property
    def volume_from_voxel(self) -> Array:
        """The 4x4 map of voxel indices (x, y, z), voxel centres being whole numbers, to mm."""
        return rigid(self.direction * self.spacing, self.origin)

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        z, y, x = self.array.shape
        return x, y, z


def read_volume(path: str | Path) -> Volume:
    """Read a volume in any format that SimpleITK knows (.mha, .nrrd, .nii, .nii.gz ...).

    Raises InputError for a file that is missing, unreadable or truncated, whose voxels are in another file that is, or
    that asks for more than `headers.MOST_BYTES`; an image that is not 3D or has several values a voxel; a spacing that
    is not positive, axes that are not at right angles, or an origin that is nowhere; values that are NaN or infinite,
    and an image without data (all 0).
    """
    return _read(Path(path), several=False)


def read_layers(path: str | Path) -> list[Volume]:
    """Read the layers of a volume with several values a voxel, as .nrrd files of segmentations have them.

    Raises InputError as `read_volume`, save for the number of values.
    """
    volume = _read(Path(path), several=True)
    layers = np.moveaxis(volume.array, 3, 0) if volume.array.ndim == 4 else [volume.array]
    return [Volume(layer, volume.spacing, volume.origin, volume.direction) for layer in layers]


def _read(path: Path, several: bool) -> Volume:
    """The volume in a file; with ``several`` values a voxel, its array is (z, y, x, values)."""
    if not is_file(path):
        raise InputError(f"{path!s:.200}: no such file")
    if path.suffix in _OWN_HEADERS:  # these say better than SimpleITK what is wrong
        header = read_header(path)
        header.check_data()
        _check_fields(path, header)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if reader.GetDimension() != 3:
            raise InputError(f"{path}: is {reader.GetDimension()}D; a volume has 3 dimensions")
        if reader.GetNumberOfComponents() != 1 and not several:
            raise InputError(f"{path}: has {reader.GetNumberOfComponents()} values a voxel; a volume has one")
        _check_place(path, reader)
        check_size(path, prod(reader.GetSize()) * reader.GetNumberOfComponents() * _value_bytes(reader))
        _check_nifti_is_whole(path, reader)
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as a volume ({_reason(error)})") from error
    array = sitk.GetArrayFromImage(image)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError(f"{path}: holds values that are NaN or infinite")
    if not array.any():
        raise InputError(f"{path}: holds no data (every voxel is 0)")
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return Volume(array, np.array(image.GetSpacing()), np.array(image.GetOrigin()), direction)


def write_volume(path: str | Path, volume: Volume, fields: Mapping[str, str] | None = None) -> None:
    """Write a volume, compressed, whole or not at all, as .mha, .nrrd, .nii or .nii.gz.

    ``fields`` go into the header of .mha and .nrrd; NIfTI has no place for them.

    Raises InputError for another suffix, for a folder that cannot be written, and for a disk that is full.
    """
    path = Path(path)
    if not path.name.endswith(_ONE_FILE_SUFFIXES):
        raise InputError(f"{path}: a volume is written as one of {', '.join(_ONE_FILE_SUFFIXES)}")
    image = to_image(volume)
    for name, value in (fields or {}).items():
        image.SetMetaData(name, value)
    with written_whole(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            # NIfTI's writer says nothing of a disk that is full, nor its reader.
            if ".nii" in path.suffixes and not np.array_equal(
                *map(sitk.GetArrayFromImage, (sitk.ReadImage(temporary), image))
            ):
                raise InputError(f"{path}: cannot be written (the disk may be full)")
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be written ({_reason(error)})") from error


def to_image(volume: Volume) -> sitk.Image:
    """The volume as a SimpleITK image, with its geometry; booleans become 0 and 1."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(np.asarray(volume.spacing, dtype=float).tolist())
    image.SetOrigin(np.asarray(volume.origin, dtype=float).tolist())
    image.SetDirection(np.asarray(volume.direction, dtype=float).ravel().tolist())
    return image


def _check_spacing(path: Path, spacing: tuple[float, ...] | list[str]) -> None:
    try:
        values = np.array(spacing, dtype=float)
    except ValueError:
        values = np.array([np.nan])
    if not ((values > _FINEST) & (values < _FARTHEST)).all():
        raise InputError(
            f"{path}: its spacing ({' '.join(str(s) for s in spacing)}) must be positive, {_FINEST:g} to {_FARTHEST:g}"
        )


def _check_fields(path: Path, header: Header) -> None:
    """MetaImage's reader takes what is no number for zero, in silence; NRRD's crashes on very long ones."""
    if "ElementSpacing" in header.fields:
        _check_spacing(path, header.fields["ElementSpacing"].split())
    dimensions = header.fields.get("NDims", str(len(header.sizes)))
    if dimensions != str(len(header.sizes)):
        raise InputError(f"{path}: its NDims ({dimensions}) is not that of its sizes ({len(header.sizes)})")
    for name in _NUMBERS:
        for word in re.split(r"[\s(),]+", header.fields.get(name, "")):
            if len(word) > _LONGEST_NUMBER:
                raise InputError(f"{path}: its {name} holds a number of {len(word)} characters")
            if word not in ("", "none"):
                finite(word, f"{path}: its {name}")


def _check_place(path: Path, reader: sitk.ImageFileReader) -> None:
    _check_spacing(path, reader.GetSpacing())
    axes = np.reshape(reader.GetDirection(), (3, 3))
    unit = np.abs(axes).max() <= 1.0 + _ORTHONORMAL  # NaN is not
    if not unit or np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHONORMAL:
        raise InputError(f"{path}: its axes are not at right angles and of length one ({axes.round(4).tolist()})")
    if not np.abs(reader.GetOrigin()).max() <= _FARTHEST:
        raise InputError(
            f"{path}: its origin ({' '.join(map(str, reader.GetOrigin()))}) is not within {_FARTHEST:g} mm"
        )


def _value_bytes(reader: sitk.ImageFileReader) -> int:
    return sitk.GetArrayFromImage(sitk.Image([1, 1, 1], reader.GetPixelID())).itemsize


def _check_nifti_is_whole(path: Path, reader: sitk.ImageFileReader) -> None:
    """NIfTI's reader fills missing voxels with zeros in silence, so the file's length is held against the header."""
    if path.suffix != ".nii" and not path.name.endswith(".nii.gz"):
        return
    # Voxels may be stored in fewer bytes than they take once the file's scale has been applied.
    stored = prod(reader.GetSize()) * int(reader.GetMetaData("bitpix")) // 8
    offset = int(float(reader.GetMetaData("vox_offset")))
    held = path.stat().st_size if path.suffix == ".nii" else _inflated_size(path, offset + stored)
    if held < offset + stored:
        raise InputError(f"{path}: truncated: {held} bytes are too few for its {stored} bytes of voxels")


def _inflated_size(path: Path, most: int) -> int:
    """Bytes that a file inflates to; more than ``most`` are not waited for."""
    held = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK):
                held += len(chunk)
                if held > most:
                    raise InputError(f"{path}: inflates to more than the {most} bytes of its header")
    except gzip.BadGzipFile as error:
        raise InputError(f"{path}: is named .gz, but damaged or not compressed ({error})") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged ({error})") from error
    return held


def _reason(error: RuntimeError) -> str:
    """SimpleITK's last line, which is the one that says what happened, without its position in the source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("Reason: ").rstrip(".") if lines else "unknown error"
