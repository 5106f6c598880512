"""Beams, straight or fanned out: depth is measured along them, and shadows fall along them; anatomy is left alone."""

import numpy as np
import pytest

from deeprs2v_ros.imaging.beams import Beams, behind_wall

SHAPE, SPACING = (150, 200), 0.8


def fan(apex=(100.0, -60.0), half_angle=0.5, inner=70.0, outer=205.0):
    """Mask of a fan, and the angle of each point's beam."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    angle, radius = np.arctan2(x - apex[0], y - apex[1]), np.hypot(x - apex[0], y - apex[1])
    return (np.abs(angle) < half_angle) & (radius > inner) & (radius < outer), angle, radius


def rectangle():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    return (x > 20) & (x < 180), (x - 100) / 160, y


def tissue(mask, seed=0):
    rng = np.random.default_rng(seed)
    return (mask * (0.4 + 0.06 * rng.normal(size=SHAPE))).astype(np.float32)


@pytest.mark.parametrize("view", [fan, rectangle])
def test_the_edges_of_a_shadow_are_found(view):
    mask, beam, depth = view()
    shadow = (np.abs(beam - 0.3) < 0.06) & (depth > depth[mask].min() + 20)
    found = Beams(mask, SPACING).shadows(np.where(shadow, 0.3, 1.0).astype(np.float32) * tissue(mask))
    deep = depth > depth[mask].min() + 60
    edge = mask & deep & (np.abs(np.abs(beam - 0.3) - 0.06) < 0.015)
    far = mask & deep & (np.abs(beam - 0.3) > 0.2)
    assert found[edge].mean() > 0.8
    assert found[far].mean() < 0.05


@pytest.mark.parametrize("view", [fan, rectangle])
def test_speckle_vessels_and_layers_are_no_shadows(view):
    mask, _, depth = view()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    vessel = np.hypot(x - 110, y - 90) < 9
    layer = np.abs(depth - depth[mask].min() - 30) < 3
    frame = tissue(mask, 1) * np.where(vessel, 0.2, np.where(layer, 1.8, 1.0)).astype(np.float32)
    assert Beams(mask, SPACING).shadows(frame)[mask].mean() < 0.1


def test_beams_run_down_the_image_where_the_mask_has_no_sides():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5, 3:25] = True
    assert not Beams(mask, SPACING).shadows(np.ones((20, 30), np.float32)).any()


def test_the_wall_is_as_thick_on_all_beams_of_a_fan():
    mask, _, radius = fan()
    kept = behind_wall(mask, (SPACING, SPACING), 15.0)
    depth = SPACING * (radius - 70.0)
    assert not kept[~mask].any()
    assert not kept[mask & (depth < 15.0 - 1.5)].any()
    assert kept[mask & (depth > 15.0 + 1.5)].all()


def test_the_wall_of_straight_beams_is_measured_in_the_millimetres_of_a_row():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:140, 20:180] = True
    kept = behind_wall(mask, (0.3, 0.5), 15.0)
    assert np.array_equal(np.nonzero(kept.any(axis=1))[0], np.arange(40, 140))
    assert kept[40:140, 20:180].all()
    assert np.array_equal(behind_wall(mask, (0.3, 0.5), 0.0), mask)
