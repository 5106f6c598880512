"""Shadows are found along the beams, straight or fanned out, and anatomy is left alone."""

import numpy as np
import pytest

from deeprs2v_ros.imaging.beams import Beams

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
