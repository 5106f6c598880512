"""Cuts of surfaces against spheres, against VTK's own cutter, and in planes through their vertices."""

import cv2
import numpy as np
import pytest
from meshes import CENTRE, RADIUS, sphere, surface_of
from scipy.spatial.transform import Rotation

from deeprs2v_ros.anatomy.surface import Surface, loops
from deeprs2v_ros.geometry import apply, inverse, rigid

SPHERE = surface_of(sphere(200))
CORNERS = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=float)
CUBE = Surface(
    CORNERS,
    np.array(
        [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6],
         [1, 3, 5], [3, 7, 5]], np.int32),
)  # fmt: skip
TILT = Rotation.from_euler("xyz", [35, -50, 20], degrees=True).as_matrix()


def pose_at(distance):
    """An oblique plane at a distance from the sphere's centre, and where that centre is in the image (x, y)."""
    volume_from_image = rigid(TILT, np.array(CENTRE) + TILT @ [-30.0, -40.0, distance])
    return volume_from_image, np.array([30.0, 40.0])


def length(segments):
    return np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1).sum()


def is_closed(line):
    return len(line) > 3 and np.array_equal(line[0], line[-1])


@pytest.mark.parametrize("distance", [0.0, -7.5, 16.0])
def test_a_sphere_is_cut_in_the_circle_of_pythagoras(distance):
    pose, centre = pose_at(distance)
    segments = SPHERE.cut(pose)
    radius = np.sqrt(RADIUS**2 - distance**2)
    away = np.linalg.norm(segments.reshape(-1, 2) - centre, axis=1)
    assert np.abs(away - radius).max() < 0.02  # flat triangles of 0.6 mm
    assert length(segments) == pytest.approx(2 * np.pi * radius, rel=1e-3)
    (circle,) = loops(segments)
    assert is_closed(circle)


def test_a_plane_beside_the_surface_cuts_nothing():
    segments = SPHERE.cut(pose_at(21.0)[0])
    assert segments.shape == (0, 2, 2)
    assert loops(segments) == []


@pytest.mark.parametrize("distance", [0.0, 3.3, -12.0])
def test_cut_agrees_with_vtks_cutter(distance):
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkPlane
    from vtkmodules.vtkFiltersCore import vtkCutter

    pose, _ = pose_at(distance)
    plane, cutter = vtkPlane(), vtkCutter()
    plane.SetOrigin(*pose[:3, 3])
    plane.SetNormal(*pose[:3, 2])
    cutter.SetCutFunction(plane)
    cutter.SetInputData(sphere(50))
    cutter.Update()
    lines = vtk_to_numpy(cutter.GetOutput().GetLines().GetConnectivityArray()).reshape(-1, 2)
    points = apply(inverse(pose), vtk_to_numpy(cutter.GetOutput().GetPoints().GetData()))[:, :2]
    segments = surface_of(sphere(50)).cut(pose)
    assert length(segments) == pytest.approx(length(points[lines]), rel=1e-5)
    distances = np.linalg.norm(segments.reshape(-1, 1, 2) - points, axis=2)
    assert distances.min(axis=1).max() < 1e-4  # VTK's points are float32
    assert distances.min(axis=0).max() < 1e-4


@pytest.mark.parametrize("height", [0.0, 0.25, 1.0])
def test_a_plane_through_vertices_leaves_no_hole(height):
    """Whole faces of the cube are in the plane: there is the outline of what is below it, or nothing at all."""
    outlines = loops(CUBE.cut(rigid(translation=(0, 0, height))))
    assert len(outlines) == (0 if height == 0.0 else 1)
    for outline in outlines:
        assert is_closed(outline)
        assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(1.0)


def test_a_plane_through_the_edges_of_a_cube_leaves_no_hole():
    diagonal = rigid(Rotation.from_euler("x", 45, degrees=True).as_matrix())
    (outline,) = loops(CUBE.cut(diagonal))
    assert is_closed(outline)
    assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(np.sqrt(2), rel=1e-6)


def test_outlines_are_closed_wherever_the_plane_lies():
    """Vertices on a lattice of whole numbers, which planes of whole numbers keep meeting."""
    rng = np.random.default_rng(0)
    coarse = Surface(np.round(surface_of(sphere(24)).vertices / 2) * 2, surface_of(sphere(24)).triangles)
    for _ in range(100):
        turn = Rotation.from_euler("xyz", rng.integers(0, 4, 3) * 90.0, degrees=True).as_matrix().round()
        pose = rigid(turn, np.array(CENTRE) + rng.integers(-20, 20, 3))
        for surface in (coarse, SPHERE.moved(rigid(TILT)).moved(rigid(TILT.T))):
            assert all(np.array_equal(line[0], line[-1]) for line in loops(surface.cut(pose)))


def test_each_vertex_of_its_own_leaves_outlines_as_closed():
    apart = Surface(
        SPHERE.vertices[SPHERE.triangles].reshape(-1, 3), np.arange(3 * len(SPHERE.triangles)).reshape(-1, 3)
    )
    (circle,) = loops(apart.cut(pose_at(3.3)[0]))
    assert is_closed(circle)


def test_a_moved_surface_is_cut_where_the_plane_moved_along_cuts_it():
    target_from_surface = rigid(TILT.T, (5.0, 6.0, -7.0))
    pose, _ = pose_at(4.0)
    moved = SPHERE.moved(target_from_surface).cut(target_from_surface @ pose)
    assert length(moved) == pytest.approx(length(SPHERE.cut(pose)))


def test_an_open_surface_leaves_open_lines_that_hold_each_segment_once():
    half = Surface(SPHERE.vertices, SPHERE.triangles[SPHERE.vertices[SPHERE.triangles][:, 0, 0] > CENTRE[0]])
    segments = half.cut(rigid(translation=CENTRE))
    lines = loops(segments)
    assert not any(is_closed(line) for line in lines)
    assert sum(len(line) - 1 for line in lines) == len(segments)
    assert len(lines) == 1


def test_filled_outlines_are_the_inside():
    """A hollow ball: its filled cut is a ring, by the even-odd rule."""
    inner = Surface((SPHERE.vertices - CENTRE) * 0.5 + CENTRE, SPHERE.triangles)
    both = Surface(
        np.concatenate([SPHERE.vertices, inner.vertices]),
        np.concatenate([SPHERE.triangles, inner.triangles + len(SPHERE.vertices)]),
    )
    pose, centre = pose_at(0.0)
    picture = np.zeros((800, 700), np.uint8)  # 0.1 mm
    outlines = loops(both.cut(pose))
    assert len(outlines) == 2
    cv2.fillPoly(picture, [np.rint(10 * line).astype(np.int32) for line in outlines], 1)
    y, x = np.mgrid[:800, :700] / 10.0
    away = np.hypot(x - centre[0], y - centre[1])
    assert picture.sum() / 100 == pytest.approx(np.pi * (RADIUS**2 - (RADIUS / 2) ** 2), rel=0.02)
    assert picture[(away > 10.3) & (away < 19.7)].all()
    assert not picture[(away < 9.7) | (away > 20.3)].any()


def test_a_reduced_surface_has_few_triangles_and_the_same_shape():
    reduced = SPHERE.reduced(1000)
    assert 500 < len(reduced.triangles) <= 1000
    assert reduced.triangles.max() < len(reduced.vertices)
    assert np.abs(np.linalg.norm(reduced.vertices - CENTRE, axis=1) - RADIUS).max() < 0.5
    (circle,) = loops(reduced.cut(pose_at(3.0)[0]))
    assert is_closed(circle)


def test_a_surface_that_is_small_enough_stays_as_it_is():
    assert CUBE.reduced(12) is CUBE


def test_triangles_that_have_nothing_in_common_are_reduced_as_well():
    corners = np.random.default_rng(0).normal(size=(3000, 3))
    assert len(Surface(corners, np.arange(3000, dtype=np.int32).reshape(-1, 3)).reduced(100).triangles) <= 100
