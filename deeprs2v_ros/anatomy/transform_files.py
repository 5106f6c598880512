"""Transforms by ITK's readers: called by `apart.read_apart` alone, since a damaged file may end the process."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError

_TEXTS = (".tfm", ".txt")


def read(path: str) -> tuple[NDArray]:
    """The 4x4 matrix of a linear transform in 3D, which maps points of the fixed image to the moving one, mm.

    Raises InputError, without the file's name, for what ITK cannot read and for other transforms.
    """
    try:
        transform = sitk.ReadTransform(path)
    except RuntimeError as error:
        unknown = re.search(r'"(\w+Transform\w*)"', str(error))
        reason = f"ITK knows no {unknown[1]}" if unknown else "damaged, or of a kind that ITK does not know"
        raise InputError(f"cannot be read as a transform ({reason})") from error
    parts = _parts(transform)
    if path.lower().endswith(_TEXTS):
        _check_parameters(Path(path), parts)
    if transform.GetDimension() != 3:
        raise InputError(f"holds a transform in {transform.GetDimension()}D; it must be 3D")
    if not transform.IsLinear():
        deformable = ", ".join(part.GetName() for part in parts if not part.IsLinear())
        raise InputError(f"holds a deformable transform ({deformable}); it must be rigid")
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis, unit in enumerate(np.eye(3).tolist()):
        matrix[:3, axis] = np.array(transform.TransformPoint(unit)) - origin
    return (matrix,)


def _parts(transform: sitk.Transform) -> list[sitk.Transform]:
    """What a transform is composed of, in the order of the file."""
    transform = transform.Downcast()
    if not isinstance(transform, sitk.CompositeTransform):
        return [transform]
    return [each for n in range(transform.GetNumberOfTransforms()) for each in _parts(transform.GetNthTransform(n))]


def _check_parameters(path: Path, parts: list[sitk.Transform]) -> None:
    """ITK takes what it likes where a text has too few numbers, and says nothing."""
    held = [values for part in parts for values in (part.GetParameters(), part.GetFixedParameters())]
    with path.open("rb") as file:
        said = [
            line.partition(b":")[2].split() for line in file if line.startswith((b"Parameters:", b"FixedParameters:"))
        ]
    try:
        same = [
            np.allclose(np.array(words, float), values, rtol=1e-6, atol=1e-6)
            for words, values in zip(said, held, strict=True)
        ]
    except ValueError:  # another number of them, or none at all
        same = [False]
    if not all(same):
        raise InputError("is damaged: its Parameters or FixedParameters are not those of its transform")
