"""Surfaces as VTK's own objects, and back. Only whoever has made sure of VTK calls these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData

MOST_TRIANGLES = 5_000_000
"""Triangles that are read from one file."""


def to_polydata(vertices: NDArray, triangles: NDArray) -> vtkPolyData:
    """VTK's copy of ``vertices`` (N, 3) and ``triangles`` (M, 3)."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points, cells, polydata = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(vertices), deep=True))
    cells.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(triangles, dtype=np.int64).ravel(), deep=True))
    polydata.SetPoints(points)
    polydata.SetPolys(cells)
    return polydata


def surface_arrays(polydata: vtkPolyData) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices (N, 3) and triangles (M, 3) of what holds triangles alone; those with a vertex twice are left out."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if polydata.GetNumberOfPolys() == 0:
        return np.empty((0, 3)), np.empty((0, 3), np.int32)
    vertices = vtk_to_numpy(polydata.GetPoints().GetData()).astype(np.float64)
    triangles = vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int32)
    a, b, c = triangles.T
    return vertices, triangles[(a != b) & (b != c) & (c != a)]
