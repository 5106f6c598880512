"""Surfaces out of files: meshes in every format, label maps in oblique directions, and what is refused."""

import re
import subprocess
import sys

import cv2
import meshes
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.anatomy import apart
from deeprs2v_ros.anatomy.reading import read_surfaces
from deeprs2v_ros.anatomy.surface import loops
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import rigid

OBLIQUE = Rotation.from_euler("xyz", [25, -40, 15], degrees=True).as_matrix()
SPACING, ORIGIN = np.array([0.8, 1.0, 1.6]), np.array([12.0, -34.0, 56.0])


def volume_of(surface):
    """By the divergence theorem."""
    a, b, c = (surface.vertices[surface.triangles[:, n]] for n in range(3))
    return abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6.0


def balls(*placed, size=(60, 50, 40), direction=OBLIQUE, dtype=np.uint8):
    """Labels of balls (label, centre (x, y, z) mm in the image's own axes, radius), and their centres in space."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1) * SPACING
    labels = np.zeros(size, dtype)
    for label, centre, radius in placed:
        labels[np.linalg.norm(grid - centre, axis=-1) < radius] = label
    image = sitk.GetImageFromArray(labels.T)
    image.SetSpacing(SPACING.tolist())
    image.SetOrigin(ORIGIN.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image, [direction @ np.array(centre) + ORIGIN for _, centre, _ in placed]


def named(image, *segments):
    """The same with 3D Slicer's names: (name, label, layer) each."""
    for number, (name, label, layer) in enumerate(segments):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(label))
        image.SetMetaData(f"Segment{number}_Layer", str(layer))
    return image


# --- Meshes ---


@pytest.mark.parametrize("name", meshes.FILES)
def test_a_mesh_is_read_as_it_was_written(tmp_path, name):
    polydata = meshes.sphere()
    path = meshes.write(tmp_path / name, polydata)
    ((found, surface),) = read_surfaces(path).items()
    assert found == path.stem
    assert surface.triangles.dtype == np.int32
    assert surface.triangles.shape == (polydata.GetNumberOfPolys(), 3)
    assert len(surface.vertices) == polydata.GetNumberOfPoints()  # neighbours share them, in STL too
    assert np.linalg.norm(surface.vertices - meshes.CENTRE, axis=1) == pytest.approx(meshes.RADIUS, abs=1e-3)
    assert volume_of(surface) == pytest.approx(volume_of(meshes.surface_of(polydata)), rel=1e-4)


@pytest.mark.parametrize("name", ["binary.stl", "ascii.stl", "binary.vtk", "ascii.vtk", "binary.ply", "ascii.ply"])
@pytest.mark.parametrize(("space", "sign"), [("RAS", -1.0), ("LPS", 1.0)])
def test_the_space_that_slicer_names_is_honoured(tmp_path, name, space, sign):
    path = meshes.write(tmp_path / name, meshes.sphere(), f"3D Slicer output. SPACE={space}")
    (surface,) = read_surfaces(path).values()
    x, y, z = meshes.CENTRE
    assert np.linalg.norm(surface.vertices - [sign * x, sign * y, z], axis=1) == pytest.approx(meshes.RADIUS, abs=1e-3)


def test_the_space_in_an_array_of_a_vtp_file_is_honoured(tmp_path):
    from vtkmodules.vtkCommonCore import vtkStringArray

    polydata, array = meshes.sphere(), vtkStringArray()
    array.SetName("SPACE")
    array.InsertNextValue("RAS")
    polydata.GetFieldData().AddArray(array)
    (surface,) = read_surfaces(meshes.write(tmp_path / "binary.vtp", polydata)).values()
    assert (surface.vertices.min(axis=0) + surface.vertices.max(axis=0)) / 2 == pytest.approx([-10, 20, 30], abs=0.5)


def test_a_binary_stl_that_begins_like_a_text_is_read(tmp_path):
    path = meshes.write(tmp_path / "binary.stl", meshes.sphere())
    path.write_bytes(b"solid by some CAD program".ljust(80) + path.read_bytes()[80:])
    assert len(read_surfaces(path)["binary"].triangles) == meshes.sphere().GetNumberOfPolys()


@pytest.mark.parametrize("name", [name for name in meshes.FILES if name != "ascii.obj"])  # an OBJ has no end
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_truncated_mesh_is_refused(tmp_path, name, share):
    path = meshes.write(tmp_path / name, meshes.sphere())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        read_surfaces(path)
    assert "\n" not in str(caught.value)


VTK = "# vtk DataFile Version 3.0\nx\nASCII\nDATASET POLYDATA\n"


def stl(*corners):
    facet = "facet normal 0 0 0\nouter loop\n{}endloop\nendfacet\n"
    return "solid x\n" + facet.format("".join(f"vertex {corner}\n" for corner in corners)) + "endsolid x\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.stl", stl("0 0 0", "1 0 0", "nan 1 0"), "NaN"),
        ("x.stl", stl("0 0 0", "1 0 0", "0 1e9 0"), "beyond"),
        ("x.stl", stl("0 0 0", "1 0 0", "0 1 zero"), "could not convert"),
        ("x.stl", stl("0 0 0", "1 0 0"), "three corners"),
        ("x.stl", stl("0 0 0", "1 0 0", "1 0 0"), "no triangles"),
        ("x.stl", "solid x\nendsolid x\n", "no triangles"),
        ("x.stl", "no mesh", "no STL file"),
        ("x.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "x.obj: "),
        ("x.obj", "v 0 0 0\n", "no triangles"),
        ("x.ply", "ply\nformat ascii 1.0\nelement vertex 9999999\nproperty float x\nend_header\n", "truncated"),
        ("x.vtk", "no mesh", "x.vtk: "),
        ("x.vtp", "<VTKFile>", "x.vtp: "),
        ("x.docx", "no mesh", "suffix"),
        ("x.vtk", VTK + "POINTS 99999999999999 float\n0 0 0\n", "x.vtk: "),
        ("x.vtk", VTK + "POINTS 3 float\n0 0 0 1 0 0 0 1 0\nPOLYGONS 1 4\n3 0 1 7\n", "not among its 3"),
    ],
)  # fmt: skip
def test_what_is_no_surface_is_refused_by_name(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(reason)) as caught:
        read_surfaces(path)
    assert str(path) in str(caught.value)


def test_too_many_triangles_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "huge.stl"
    with path.open("wb") as file:
        file.write(bytes(80) + (6_000_000).to_bytes(4, "little"))
        file.truncate(84 + 50 * 6_000_000)
    with pytest.raises(InputError, match=r"huge.stl: holds 6000000 triangles"):
        read_surfaces(path)


def test_a_file_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / "huge.vtk"
    with path.open("wb") as file:
        file.truncate(apart.MOST_FILE + 1)
    with pytest.raises(InputError, match=r"huge.vtk: is longer than"):
        read_surfaces(path)


@pytest.mark.parametrize("name", ["gone.stl", "gone.seg.nrrd", "gone.nii.gz", f"{'n' * 300}.vtk"])
def test_a_file_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"no such file"):
        read_surfaces(tmp_path / name)


def test_a_reader_that_crashes_ends_its_own_process_alone(tmp_path, monkeypatch):
    path = tmp_path / "x.vtk"
    path.write_text("anything")
    (tmp_path / "crashing.py").write_text("import os\ndef read(path): os.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"x.vtk: is damaged"):
        apart.read_apart("crashing", path)


def test_a_reader_that_takes_for_ever_is_ended(tmp_path, monkeypatch):
    path = tmp_path / "x.vtk"
    path.write_text("anything")
    (tmp_path / "hanging.py").write_text("def read(path):\n    while True: pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(apart, "PATIENCE", 0.5)
    with pytest.raises(InputError, match=r"x.vtk: cannot be read within 0.5 s"):
        apart.read_apart("hanging", path)


def test_without_vtk_whoever_reads_a_mesh_is_told_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['vtkmodules'] = None\n"
        "from deeprs2v_ros.anatomy.reading import read_surfaces\n"
        "try: read_surfaces('x.stl')\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "deeprs2v_ros[anatomy]" in done.stdout


# --- Label maps ---


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd", ".nii", ".nii.gz", ".mha"])
def test_a_ball_in_an_oblique_label_map_becomes_a_sphere_in_its_place(tmp_path, suffix):
    image, (centre,) = balls((1, [24.0, 25.0, 30.0], 14.0))
    sitk.WriteImage(image, str(tmp_path / f"liver{suffix}"))
    ((name, surface),) = read_surfaces(tmp_path / f"liver{suffix}").items()
    assert name == "liver"
    away = np.linalg.norm(surface.vertices - centre, axis=1)
    assert np.abs(away.mean() - 14.0) < 0.1
    assert np.abs(away - 14.0).max() < 0.8  # half a voxel's longest edge
    assert volume_of(surface) == pytest.approx(4 / 3 * np.pi * 14.0**3, rel=0.01)


def test_the_filled_cut_is_what_simpleitk_resamples_on_the_same_plane(tmp_path):
    image, (centre, _) = balls((1, [20.0, 22.0, 26.0], 13.0), (1, [32.0, 34.0, 40.0], 7.0))
    sitk.WriteImage(image, str(tmp_path / "liver.nii"))
    (surface,) = read_surfaces(tmp_path / "liver.nii").values()
    turn = Rotation.from_euler("xyz", [50, 20, -35], degrees=True).as_matrix()
    volume_from_image = rigid(turn, centre - turn @ [20.0, 25.0, 2.0])
    plane = sitk.Image(500, 600, 1, sitk.sitkUInt8)  # 0.1 mm
    plane.SetSpacing([0.1, 0.1, 1.0])
    plane.SetOrigin(volume_from_image[:3, 3].tolist())
    plane.SetDirection(turn.ravel().tolist())
    smooth = sitk.Resample(sitk.Cast(image, sitk.sitkFloat32), plane, sitk.Transform(), sitk.sitkLinear)
    expected = sitk.GetArrayFromImage(smooth)[0] > 0.5
    filled = np.zeros((600, 500), np.uint8)
    outlines = loops(surface.cut(volume_from_image))
    cv2.fillPoly(filled, [np.rint(10 * line).astype(np.int32) for line in outlines], 1)
    dice = 2 * np.count_nonzero(expected & (filled > 0)) / (np.count_nonzero(expected) + filled.sum())
    assert np.count_nonzero(expected) > 20_000
    assert dice > 0.97


def test_each_label_has_a_surface_of_its_own(tmp_path):
    image, centres = balls((3, [12.0, 12.0, 20.0], 8.0), (7, [34.0, 35.0, 40.0], 6.0), dtype=np.float32)
    sitk.WriteImage(image, str(tmp_path / "two.nii.gz"))
    surfaces = read_surfaces(tmp_path / "two.nii.gz")
    assert list(surfaces) == ["label 3", "label 7"]
    for surface, centre, radius in zip(surfaces.values(), centres, (8.0, 6.0), strict=True):
        assert np.linalg.norm(surface.vertices - centre, axis=1).mean() == pytest.approx(radius, abs=0.15)


def test_segments_have_the_names_that_slicer_gave_them(tmp_path):
    image, _ = balls((1, [12.0, 12.0, 20.0], 8.0), (2, [34.0, 35.0, 40.0], 6.0))
    sitk.WriteImage(named(image, ("portal vein", 2, 0), ("tumour", 1, 0)), str(tmp_path / "s.seg.nrrd"))
    surfaces = read_surfaces(tmp_path / "s.seg.nrrd")
    assert set(surfaces) == {"tumour", "portal vein"}
    assert volume_of(surfaces["tumour"]) > volume_of(surfaces["portal vein"])


def test_segments_that_overlap_are_read_layer_by_layer(tmp_path):
    liver, (centre, _) = balls((1, [24.0, 25.0, 30.0], 15.0), (1, [24.0, 25.0, 30.0], 1.0))
    tumour, _ = balls((1, [24.0, 25.0, 30.0], 6.0))
    both = sitk.Compose(liver, tumour)
    path = tmp_path / "s.seg.nrrd"
    sitk.WriteImage(named(both, ("liver", 1, 0), ("tumour", 1, 1)), str(path))
    assert b"kinds: vector domain" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"kinds: vector domain", b"kinds: list domain"))  # as 3D Slicer says it
    surfaces = read_surfaces(tmp_path / "s.seg.nrrd")
    for name, radius in (("liver", 15.0), ("tumour", 6.0)):
        away = np.linalg.norm(surfaces[name].vertices - centre, axis=1)
        assert away.mean() == pytest.approx(radius, abs=0.15)


def test_a_small_tumour_keeps_its_size(tmp_path):
    image, (centre,) = balls((1, [24.0, 25.0, 30.0], 4.0))
    sitk.WriteImage(image, str(tmp_path / "tumour.nii"))
    (surface,) = read_surfaces(tmp_path / "tumour.nii").values()
    assert volume_of(surface) == pytest.approx(
        np.count_nonzero(sitk.GetArrayFromImage(image)) * SPACING.prod(), rel=0.1
    )
    assert np.linalg.norm((surface.vertices.min(axis=0) + surface.vertices.max(axis=0)) / 2 - centre) < 0.3


def test_a_label_at_the_border_is_closed(tmp_path):
    image, (centre,) = balls((1, [0.0, 25.0, 30.0], 12.0))
    sitk.WriteImage(image, str(tmp_path / "half.nii"))
    (surface,) = read_surfaces(tmp_path / "half.nii").values()
    (outline,) = loops(surface.cut(rigid(OBLIQUE, centre + OBLIQUE @ [0.0, 0.0, 1.0])))
    assert np.array_equal(outline[0], outline[-1])


def _greys(image):
    return sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 4000, (20, 20, 20)).astype(np.uint16))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("x.nii", lambda image: sitk.Cast(image, sitk.sitkFloat32) + 0.5, "whole numbers"),
        ("x.nii", lambda image: sitk.Cast(image, sitk.sitkInt16) - 1, "not labels"),
        ("x.nii", lambda image: image * 0, "no data"),
        ("x.mha", _greys, "different values"),
        ("x.seg.nrrd", lambda image: named(image, ("tumour", 1, 0), ("vessel", 5, 0)), "segment 'vessel' is empty"),
        ("x.seg.nrrd", lambda image: named(image, ("tumour", 1, 0), ("tumour", 2, 0)), "two segments"),
        ("x.seg.nrrd", lambda image: named(image, ("tumour", "one", 0)), "LabelValue"),
    ],
)
def test_what_is_no_label_map_is_refused_by_name(tmp_path, name, change, reason):
    image, _ = balls((1, [12.0, 12.0, 20.0], 8.0), (2, [34.0, 35.0, 40.0], 6.0))
    sitk.WriteImage(change(image), str(tmp_path / name))
    with pytest.raises(InputError, match=reason) as caught:
        read_surfaces(tmp_path / name)
    assert name in str(caught.value)


def test_labels_with_too_many_triangles_around_them_are_refused_before_they_are_made(tmp_path):
    board = np.indices((100, 100, 100)).sum(axis=0) % 2
    sitk.WriteImage(sitk.GetImageFromArray(board.astype(np.uint8)), str(tmp_path / "board.mha"))
    with pytest.raises(InputError, match=r"board.mha: its labels have more than 5000000 triangles"):
        read_surfaces(tmp_path / "board.mha")
