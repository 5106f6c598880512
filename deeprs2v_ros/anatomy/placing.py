"""Files that say where one image of a patient lies in another: the result of a registration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeprs2v_ros.anatomy.apart import read_apart
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.reading import finite, read_yaml

ITK = (".tfm", ".txt", ".h5", ".hdf5", ".mat")
_YAML = (".yaml", ".yml")
_MOST_STRETCH = 0.02
_FARTHEST = 1e6  # mm


def read_transform(path: str | Path) -> Array:
    """The rigid transform (4, 4) in a file, in mm, as it stands there.

    ITK's files (.tfm, .txt, .h5 also as 3D Slicer and .mat as ANTs write them) hold ``moving_from_fixed``: points of
    the FIXED image are mapped to the MOVING one, LPS. So a registration with the ultrasound volume as its fixed image
    and the MRI as its moving one leaves ``mri_from_volume``, and ``volume_from_mri`` is `geometry.inverse` of it; one
    with the MRI as its fixed image leaves ``volume_from_mri`` at once. A YAML file holds a 4x4 list under ``matrix``,
    which maps as whoever wrote it decided.

    Shear and scale up to 2 % are taken for rounding, and the nearest rotation is returned (the orthogonal factor of
    the polar decomposition).

    Raises InputError naming the file if it is missing, damaged or of another suffix, for a transform that is not 3D,
    is deformable (by its name), mirrors, is not rigid (by how much), or takes the origin beyond 1 km.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _YAML:
        matrix = _yaml_matrix(path)
    elif suffix in ITK:
        (matrix,) = read_apart("deeprs2v_ros.anatomy.transform_files", path)
    else:
        raise InputError(f"{path!s:.200}: its suffix is none of {', '.join((*ITK, *_YAML))}")
    return _nearest_rigid(path, matrix)


def _yaml_matrix(path: Path) -> Array:
    content = read_yaml(path)
    rows = content.get("matrix") if isinstance(content, dict) else None
    if not (isinstance(rows, list) and len(rows) == 4 and all(isinstance(row, list) and len(row) == 4 for row in rows)):
        raise InputError(f"{path}: has no 4x4 list under 'matrix'")
    matrix = np.array([[finite(value, f"{path}: a value of its matrix", _FARTHEST) for value in row] for row in rows])
    if not np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0]):
        raise InputError(f"{path}: the last row of its matrix is not 0 0 0 1")
    return matrix


def _nearest_rigid(path: Path, matrix: Array) -> Array:
    if not np.abs(matrix).max() <= _FARTHEST:  # NaN is not
        raise InputError(f"{path}: its transform is not finite, or goes beyond {_FARTHEST:g} mm")
    left, stretch, right = np.linalg.svd(matrix[:3, :3])
    if np.linalg.det(left @ right) < 0.0:
        raise InputError(f"{path}: its transform mirrors; it must be rigid")
    worst = np.abs(stretch - 1.0).max()
    if worst > _MOST_STRETCH:
        raise InputError(
            f"{path}: its transform is not rigid: it scales or shears by {100.0 * worst:.3g} %, "
            f"more than {100.0 * _MOST_STRETCH:g} %"
        )
    return rigid(left @ right, matrix[:3, 3])
