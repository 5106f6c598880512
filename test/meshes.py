"""Surfaces of known shape, made and written by VTK: an implementation independent of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vtkmodules")

from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersSources import vtkSphereSource
from vtkmodules.vtkIOGeometry import vtkOBJWriter, vtkSTLWriter
from vtkmodules.vtkIOLegacy import vtkPolyDataWriter
from vtkmodules.vtkIOPLY import vtkPLYWriter
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from deeprs2v_ros.anatomy.surface import Surface

CENTRE, RADIUS = (10.0, -20.0, 30.0), 20.0
FILES = (
    *("binary.stl", "ascii.stl", "binary.vtk", "ascii.vtk", "old.vtk", "binary.vtp", "ascii.vtp"),
    *("binary.ply", "ascii.ply", "ascii.obj"),
)


def sphere(resolution: int = 12) -> vtkPolyData:
    source = vtkSphereSource()
    source.SetCenter(*CENTRE)
    source.SetRadius(RADIUS)
    source.SetThetaResolution(resolution)
    source.SetPhiResolution(resolution)
    source.Update()
    return source.GetOutput()


def surface_of(polydata: vtkPolyData) -> Surface:
    triangles = vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int32)
    return Surface(vtk_to_numpy(polydata.GetPoints().GetData()).astype(float), triangles)


def write(path: Path, polydata: vtkPolyData, comment: str = "") -> Path:
    """Write a mesh in the format of its suffix, text or binary by its stem, with a ``comment`` as 3D Slicer does."""
    binary = path.stem != "ascii"
    match path.suffix:
        case ".stl":
            writer = vtkSTLWriter()
        case ".vtk":
            writer = vtkPolyDataWriter()
            writer.SetFileVersion(42 if path.stem == "old" else 51)
        case ".vtp":
            writer = vtkXMLPolyDataWriter()
        case ".ply":
            writer = vtkPLYWriter()
            if comment:
                writer.AddComment(comment)
        case _:
            writer = vtkOBJWriter()
    if path.suffix == ".vtp":
        (writer.SetDataModeToBinary if binary else writer.SetDataModeToAscii)()
    elif path.suffix != ".obj":
        (writer.SetFileTypeToBinary if binary else writer.SetFileTypeToASCII)()
    if comment and path.suffix in (".stl", ".vtk"):
        writer.SetHeader(comment)
    writer.SetFileName(str(path))
    writer.SetInputData(polydata)
    writer.Write()
    return path


def write_all(folder: Path) -> list[Path]:
    return [write(folder / name, sphere(6)) for name in FILES]
