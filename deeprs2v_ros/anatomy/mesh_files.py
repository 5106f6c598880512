"""Meshes, most by VTK's readers: called by `apart.read_apart` alone, since a damaged file may end the process."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkStaticCleanPolyData, vtkTriangleFilter
from vtkmodules.vtkIOGeometry import vtkOBJReader
from vtkmodules.vtkIOLegacy import vtkPolyDataReader
from vtkmodules.vtkIOPLY import vtkPLYReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from deeprs2v_ros.anatomy.ply import check_whole
from deeprs2v_ros.anatomy.polydata import MOST_TRIANGLES, surface_arrays, to_polydata
from deeprs2v_ros.anatomy.stl import read_corners
from deeprs2v_ros.errors import InputError

_READERS = {
    ".vtk": vtkPolyDataReader,
    ".vtp": vtkXMLPolyDataReader,
    ".ply": vtkPLYReader,
    ".obj": vtkOBJReader,
}
_FAULT = re.compile(r"ERROR: In [^\n]*\n(?:[^\n]*?\): )?([^\n]+)|(Error reading [^\n]+)")  # the latter is but a warning
_FARTHEST = 1e6  # mm
_HEAD = 4096  # bytes in which 3D Slicer's comment stands


def read(path: str) -> tuple[NDArray, NDArray, NDArray]:
    """Vertices (N, 3) float64, triangles (M, 3) int32, and the space the file names: RAS, LPS or nothing.

    Raises InputError, without the file's name, for what VTK calls an error, more than `MOST_TRIANGLES`, vertices that
    are NaN or far away, indices of vertices that are not there, and a surface without triangles.
    """
    suffix = Path(path).suffix.lower()
    polydata = _from_stl(Path(path)) if suffix == ".stl" else _by_vtk(Path(path), suffix)
    _check(polydata)
    triangulation, merging = vtkTriangleFilter(), vtkStaticCleanPolyData()
    triangulation.SetInputData(polydata)
    triangulation.PassVertsOff()
    triangulation.PassLinesOff()
    merging.SetInputConnection(triangulation.GetOutputPort())
    merging.SetTolerance(0.0)
    merging.Update()
    vertices, triangles = surface_arrays(merging.GetOutput())
    if not len(triangles):
        raise InputError("holds no triangles")
    return vertices, triangles, np.array(_space(Path(path), polydata))


def _from_stl(path: Path) -> vtkPolyData:
    corners = read_corners(path).reshape(-1, 3)
    return to_polydata(corners, np.arange(len(corners)).reshape(-1, 3))


def _by_vtk(path: Path, suffix: str) -> vtkPolyData:
    if suffix == ".ply":
        check_whole(path)
    window = vtkStringOutputWindow()
    vtkOutputWindow.SetInstance(window)
    reader = _READERS[suffix]()
    reader.SetFileName(str(path))
    reader.Update()
    said = _FAULT.search(window.GetOutput())
    if said or reader.GetErrorCode():
        raise InputError(f"cannot be read as a mesh ({(said[1] or said[2])[:200] if said else 'damaged'})")
    return reader.GetOutput()


def _check(polydata: vtkPolyData) -> None:
    if polydata.GetNumberOfPolys() + polydata.GetNumberOfStrips() == 0:
        raise InputError("holds no triangles")
    points = vtk_to_numpy(polydata.GetPoints().GetData())
    if not np.abs(points).max() <= _FARTHEST:  # NaN is not
        raise InputError(f"holds vertices that are NaN or beyond {_FARTHEST:g} mm")
    triangles = 0
    for cells in (polydata.GetPolys(), polydata.GetStrips()):
        if cells.GetNumberOfCells():
            indices = vtk_to_numpy(cells.GetConnectivityArray())
            if len(indices) and (indices.min() < 0 or indices.max() >= len(points)):
                raise InputError(f"names vertices that are not among its {len(points)}")
            triangles += len(indices) - 2 * cells.GetNumberOfCells()
    if triangles > MOST_TRIANGLES:
        raise InputError(f"holds {triangles} triangles, more than {MOST_TRIANGLES}")


def _space(path: Path, polydata: vtkPolyData) -> str:
    """3D Slicer names the space in a comment at the beginning, and in an array of a .vtp file."""
    array = polydata.GetFieldData().GetAbstractArray("SPACE")
    if array is not None and array.GetNumberOfValues() == 1:
        return str(array.GetVariantValue(0).ToString())[:10]
    with path.open("rb") as file:
        found = re.search(rb"SPACE=(RAS|LPS)\b", file.read(_HEAD))
    return found.group(1).decode() if found else ""
