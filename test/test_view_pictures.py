"""Pictures and their words: outlines against the geometry, and a sentence for every state and reason."""

import numpy as np
import pytest
from phantoms import CENTRE, SHAPE, cut_frame, fan, middle_pose, phantom

from deeprs2v_ros.anatomy.shapes import outward, sphere
from deeprs2v_ros.geometry import apply
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.slicing import Lattice
from deeprs2v_ros.registration.arrivals import Refusal
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.view.outlines import draw
from deeprs2v_ros.view.pictures import BAR, CAPTION, GAP, WIDTH, Scenery, Sight, draw_pictures
from deeprs2v_ros.view.scenery import TUMOUR, margin, structures
from deeprs2v_ros.view.slices import Slicer
from deeprs2v_ros.view.words import COLOURS, because, headline

IMAGES = ImageGeometry(SHAPE, (0.5, 0.5))
VOLUME = phantom("spheres")
POSE = middle_pose(VOLUME)


@pytest.fixture(scope="module")
def scenery():
    slicer = Slicer(VOLUME, fan(), IMAGES.pixel_size)
    return Scenery(slicer, structures=structures({}, apply(POSE, CENTRE), 10.0))


def sight(state=State.TRACKING, believed=True, **given):
    return Sight(cut_frame(VOLUME, POSE), state, plane=POSE, believed=believed, **given)


def where(picture, colour):
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 40).all(axis=-1))
    return np.stack([columns, rows], axis=1)


@pytest.mark.parametrize("shape", [(180, 240), (90, 120), (77, 101)])
def test_a_line_is_where_the_lattice_says(shape):
    shrunk = np.array([240, 180]) / shape[::-1]
    lattice = Lattice(shape, tuple(0.5 * shrunk), tuple(0.25 * (shrunk - 1.0)))
    picture = np.zeros((*shape, 3), np.uint8)
    draw(picture, np.array([[[20.0, 30.0], [80.0, 30.0]]]), lattice, (255, 255, 255), 1)
    columns, rows = np.nonzero(picture[..., 0].T)
    weights = picture[rows, columns, 0]
    x, y = (lattice.origin + lattice.spacing * np.stack([columns, rows], axis=1)).T
    assert np.average(y, weights=weights) == pytest.approx(30.0, abs=0.1)
    assert (x.min(), x.max()) == pytest.approx((20.0, 80.0), abs=1.3)


def test_the_panel_outlines_the_tumour_in_every_picture(scenery):
    panel = draw_pictures(sight(), scenery, IMAGES, ["panel"])["panel"]
    height = panel.shape[0] - BAR - CAPTION
    scale = 0.5 * SHAPE[1] / WIDTH
    for number in range(3):
        left = number * (WIDTH + GAP)
        picture = panel[BAR + CAPTION :, left : left + WIDTH]
        found = where(picture, TUMOUR)
        radii = scale * np.linalg.norm(found - [WIDTH / 2 - 0.5, height / 2 - 0.5], axis=1)
        assert radii.mean() == pytest.approx(10.0, abs=0.3)
        assert radii.std() < 0.8


def test_what_is_not_believed_has_no_outline_and_a_slice_that_says_so(scenery):
    believed, lost = (
        draw_pictures(sight(state, state is State.TRACKING), scenery, IMAGES, ["live", "slice", "panel"])
        for state in (State.TRACKING, State.LOST)
    )
    assert len(where(believed["live"], TUMOUR)) > 100 and len(where(lost["live"], TUMOUR)) == 0
    assert (lost["slice"] == believed["slice"]).all() and lost["slice"].any()
    caption = slice(BAR, BAR + CAPTION)
    assert not np.array_equal(lost["panel"][caption], believed["panel"][caption])


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_colour_and_its_sentence(scenery, state):
    panel = draw_pictures(sight(state, believed=False), scenery, IMAGES, ["panel"])["panel"]
    assert tuple(panel[1, 1]) == COLOURS[state]
    assert headline(state)
    assert len({headline(each) for each in State}) == len(State)


@pytest.mark.parametrize("reason", [*Refusal, *Reason])
def test_every_reason_is_told_in_words(reason):
    words = because(State.LOST, reason.value)
    if reason.value and reason.value not in State.__members__:
        assert words and words != reason.value


def test_a_fault_is_told_as_it_is():
    assert because(State.FAULT, "MemoryError: no room") == "MemoryError: no room"


def test_surfaces_with_a_tumour_take_the_place_of_the_ball():
    ball = sphere(np.zeros(3), 5.0)
    found = structures({"portal vein": ball, "Tumor 1": ball}, np.ones(3), 10.0)
    assert [(each.name, each.tumour) for each in found] == [("portal vein", False), ("Tumor 1", True)]
    assert [each.name for each in structures({"portal vein": ball}, None, 10.0)] == ["portal vein"]


def test_a_sphere_is_closed_has_its_size_and_grows_outwards():
    surface = sphere(np.array([1.0, 2.0, 3.0]), 8.0)
    edges = np.sort(surface.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    np.testing.assert_allclose(outward(surface), (surface.vertices - [1.0, 2.0, 3.0]) / 8.0, atol=0.03)


def test_the_margin_holds_as_many_true_places_as_it_says():
    """Drawn motions of the plane, against the displacement of the point as the picture shows it."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6)) * np.array([[0.5]] * 3 + [[0.01]] * 3)
    point = apply(POSE, CENTRE + np.array([20.0, -10.0, 5.0]))
    lever = np.array([20.0, -10.0, 5.0])
    motions = rng.normal(size=(20_000, 6)) @ root.T
    moved = motions[:, :3] + np.cross(motions[:, 3:], lever)
    within = np.linalg.norm(moved, axis=1) < margin(root @ root.T, POSE, CENTRE, point)
    assert 0.945 < within.mean() <= 1.0
    isotropic = margin(np.diag([0.7**2] * 3 + [0.0] * 3), POSE, CENTRE, point)
    within = np.linalg.norm(rng.normal(scale=0.7, size=(20_000, 3)), axis=1) < isotropic
    assert within.mean() == pytest.approx(0.95, abs=0.005)


def test_a_tumour_beside_the_plane_is_told_with_its_distance(scenery):
    aside = Scenery(structures=structures({}, apply(POSE, CENTRE + np.array([0.0, 0.0, 15.0])), 10.0))
    at, beside = (draw_pictures(sight(), each, IMAGES, ["panel"])["panel"][:BAR] for each in (scenery, aside))
    ink = [(np.abs(bar.astype(int) - 255).max(axis=-1) < 60).sum() for bar in (at, beside)]
    assert ink[1] > 1.2 * ink[0]
