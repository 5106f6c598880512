"""Transforms by ITK's readers: called by `apart.read_apart` alone, since a damaged file may end the process."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError


def read(path: str) -> tuple[NDArray]:
    """The 4x4 matrix of a linear transform in 3D, which maps points of the fixed image to the moving one, mm.

    Raises InputError, without the file's name, for what ITK cannot read and for other transforms.
    """
    try:
        transform = sitk.ReadTransform(path)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"cannot be read as a transform ({lines[-1] if lines else 'unknown error'})") from error
    if transform.GetDimension() != 3:
        raise InputError(f"holds a transform in {transform.GetDimension()}D; it must be 3D")
    if not transform.IsLinear():
        raise InputError(f"holds a deformable transform ({', '.join(_deformable(transform))}); it must be rigid")
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis, unit in enumerate(np.eye(3).tolist()):
        matrix[:3, axis] = np.array(transform.TransformPoint(unit)) - origin
    return (matrix,)


def _deformable(transform: sitk.Transform) -> list[str]:
    """The names of the parts of a transform that are not linear."""
    transform = transform.Downcast()
    if not isinstance(transform, sitk.CompositeTransform):
        return [] if transform.IsLinear() else [transform.GetName()]
    parts = [transform.GetNthTransform(n) for n in range(transform.GetNumberOfTransforms())]
    return [name for part in parts for name in _deformable(part)]
