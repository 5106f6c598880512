"""Files with surfaces of a patient's anatomy: meshes, and label maps whose surfaces are made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeprs2v_ros.anatomy import label_maps
from deeprs2v_ros.anatomy.apart import read_apart
from deeprs2v_ros.anatomy.surface import Surface
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.extras import need

MESHES = (".stl", ".vtk", ".vtp", ".ply", ".obj")
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_surfaces(path: str | Path) -> dict[str, Surface]:
    """The surfaces in a file by their names, in mm, in the coordinates that volumes have here (LPS, as ITK's).

    A mesh (STL, VTK's .vtk and .vtp, PLY, OBJ) is one surface, named as the file. One that says ``SPACE=RAS``, as 3D
    Slicer writes it, is turned to LPS; of any other, LPS is assumed. A label map (.seg.nrrd, .nrrd, .nii, .nii.gz,
    .mha) has a surface for each label: `label_maps.read_label_surfaces`.

    Raises InputError naming the file: for another suffix, a file that is missing, damaged or longer than 2 GB, more
    than 5 million triangles, none at all, vertices that are NaN, beyond 1 km or not there, label maps as
    `read_label_surfaces`, and if VTK is not installed.
    """
    path = Path(path)
    name = path.name.lower()
    for suffix in label_maps.SUFFIXES:
        if name.endswith(suffix):
            return label_maps.read_label_surfaces(path, path.name[: -len(suffix)])
    if not name.endswith(MESHES):
        known = ", ".join((*MESHES, *label_maps.SUFFIXES))
        raise InputError(f"{path!s:.200}: its suffix is none of {known}")
    need("anatomy", "vtkmodules")
    vertices, triangles, space = read_apart("deeprs2v_ros.anatomy.mesh_files", path)
    surface = Surface(vertices, triangles)
    return {path.stem: surface.moved(_LPS_FROM_RAS) if space == "RAS" else surface}
