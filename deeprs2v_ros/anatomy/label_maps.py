"""Label maps, and the surfaces of what they mark: by flying edges and windowed-sinc smoothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deeprs2v_ros.anatomy.polydata import MOST_TRIANGLES, surface_arrays
from deeprs2v_ros.anatomy.surface import Surface
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.extras import need
from deeprs2v_ros.geometry import Array, apply, rigid
from deeprs2v_ros.imaging.headers import read_header
from deeprs2v_ros.imaging.volume import Volume, read_layers, read_volume

SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha")
_MOST_LABELS, _HIGHEST_LABEL = 255, 65535
_PASSES, _PASS_BAND = 20, 0.1  # of the smoothing: steps of voxels go, and sizes stay within a tenth of a voxel


def read_label_surfaces(path: Path, stem: str) -> dict[str, Surface]:
    """A surface for each label of a label map, mm, in the space of the file's own origin, spacing and direction.

    Names are those of the segments in a file of 3D Slicer; otherwise ``label N``, or ``stem`` if there is one label.

    Raises InputError as `imaging.volume.read_volume`, for values that are no labels, more than 255 of them, more than
    5 million triangles, a segment that is empty, a name that two have, and if VTK is not installed.
    """
    need("anatomy", "vtkmodules")
    is_nrrd = path.name.lower().endswith(".nrrd")
    layers = read_layers(path) if is_nrrd else [read_volume(path)]
    names = _segment_names(path) if is_nrrd else {}
    surfaces: dict[tuple[int, int], Surface] = {}
    triangles = 0
    for number, layer in enumerate(layers):
        for label, corner, mask in _marked(path, layer.array):
            triangles += _triangles(mask)
            if triangles > MOST_TRIANGLES:
                raise InputError(f"{path}: its labels have more than {MOST_TRIANGLES} triangles around them")
            surfaces[number, label] = _surface(mask, layer, corner)
            if len(surfaces) > _MOST_LABELS:
                raise InputError(f"{path}: holds more than {_MOST_LABELS} labels; it may be no label map")
    for key, name in names.items():
        if key not in surfaces:
            raise InputError(f"{path}: its segment {name!r} is empty")
    found: dict[str, Surface] = {}
    for key, surface in surfaces.items():
        name = names.get(key, stem if len(surfaces) == 1 else f"label {key[1]}")
        if name in found:
            raise InputError(f"{path}: holds two segments of the name {name!r}")
        found[name] = surface
    return found


def label_surfaces(volume: Volume, names: Mapping[int, str]) -> dict[str, Surface]:
    """A surface for each label of a label map that has a name, mm. Raises InputError if VTK is not installed."""
    need("anatomy", "vtkmodules")
    found = {label: _surface(mask, volume, corner) for label, corner, mask in _marked(Path("labels"), volume.array)}
    return {names[label]: surface for label, surface in found.items() if label in names}


def _segment_names(path: Path) -> dict[tuple[int, int], str]:
    """The names of 3D Slicer's segments by layer and label."""
    fields = read_header(path).fields
    names = {}
    for field, value in fields.items():
        if found := re.fullmatch(r"Segment(\d{1,5})_Name", field):
            segment = f"Segment{found.group(1)}"
            layer, label = fields.get(f"{segment}_Layer", "0"), fields.get(f"{segment}_LabelValue", "1")
            if not (re.fullmatch(r"\d{1,5}", layer) and re.fullmatch(r"\d{1,5}", label)):
                raise InputError(f"{path}: the Layer or LabelValue of its {segment} is not a whole number")
            name = " ".join(value.encode("latin-1").decode(errors="replace").split())
            names[int(layer), int(label)] = name or segment
    return names


def _marked(path: Path, array: NDArray) -> Iterator[tuple[int, Array, NDArray[np.uint8]]]:
    """Each label with the voxel (x, y, z) where its box begins and the 0 or 1 in it, one voxel of 0 around them."""
    labels = array
    if array.min() < 0 or array.max() > _HIGHEST_LABEL:
        raise InputError(f"{path}: holds values that are not labels, 0 to {_HIGHEST_LABEL}")
    if array.dtype.kind == "f" or array.dtype.itemsize > 2:
        labels = array.astype(np.uint16)
        if not np.array_equal(labels, array):
            raise InputError(f"{path}: holds values that are not whole numbers; it is no label map")
    boxes = [(label, box) for label, box in enumerate(ndimage.find_objects(labels), 1) if box is not None]
    if len(boxes) > _MOST_LABELS:
        raise InputError(f"{path}: holds {len(boxes)} different values; a label map has at most {_MOST_LABELS}")
    for label, box in boxes:
        corner = np.array([axis.start - 1.0 for axis in reversed(box)])
        yield label, corner, np.pad((labels[box] == label).astype(np.uint8), 1)


def _triangles(mask: NDArray[np.uint8]) -> int:
    """How many `_surface` will make: a vertex between any two neighbours that differ, and twice that of triangles."""
    return 2 * sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in range(3))


def _surface(mask: NDArray[np.uint8], volume: Volume, corner: Array) -> Surface:
    """The surface around what is 1; ``corner`` is the voxel (x, y, z) of the volume where the ``mask`` begins."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkWindowedSincPolyDataFilter

    image, edges, smoothing = vtkImageData(), vtkFlyingEdges3D(), vtkWindowedSincPolyDataFilter()
    image.SetDimensions(*mask.shape[::-1])
    image.SetSpacing(*volume.spacing.tolist())
    values = numpy_to_vtk(mask.ravel())
    image.GetPointData().SetScalars(values)
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    smoothing.SetInputConnection(edges.GetOutputPort())
    smoothing.SetNumberOfIterations(_PASSES)
    smoothing.SetPassBand(_PASS_BAND)
    smoothing.BoundarySmoothingOff()
    smoothing.FeatureEdgeSmoothingOff()
    smoothing.NonManifoldSmoothingOn()
    smoothing.NormalizeCoordinatesOn()
    smoothing.Update()
    vertices, triangles = surface_arrays(smoothing.GetOutput())
    place = rigid(volume.direction, apply(volume.volume_from_voxel, corner))
    return Surface(apply(place, vertices), triangles)
