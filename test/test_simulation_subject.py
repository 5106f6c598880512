"""Probe geometry, probe paths, anatomy, and the files that `deeprs2v simulate` writes."""

import argparse
import json

import cv2
import numpy as np
import pytest
import yaml

from deeprs2v_ros.cli import simulate
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, geodesic_distance, inverse
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.mri import make_mri
from deeprs2v_ros.simulation.paths import HandHeldPath, pose_on_skin, sweep_poses
from deeprs2v_ros.simulation.probe import CurvilinearProbe

PROBE = CurvilinearProbe()


@pytest.fixture(scope="module")
def liver():
    return make_liver(2, spacing=2.0)


def test_the_fan_fills_its_image():
    rows, columns = PROBE.shape
    mask = PROBE.mask
    assert mask.shape == (rows, columns)
    v, u = np.nonzero(mask)
    assert v.min() <= 1 and v.max() >= rows - 3 and u.min() <= 2 and u.max() >= columns - 3
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    area = np.radians(PROBE.field_of_view_deg) / 2.0 * ((PROBE.radius_mm + PROBE.depth_mm) ** 2 - PROBE.radius_mm**2)
    assert mask.sum() * PROBE.pixel_mm**2 == pytest.approx(area, rel=0.01)


def test_face_and_apex_lie_on_the_central_line():
    np.testing.assert_allclose(PROBE.face - PROBE.apex, [0.0, PROBE.radius_mm, 0.0])
    u, v, _ = apply(np.linalg.inv(PROBE.image_from_pixel), PROBE.face)
    assert u == pytest.approx((PROBE.shape[1] - 1) / 2.0)
    depth, angle = PROBE.polar
    assert abs(depth[round(v), round(u)]) < PROBE.pixel_mm
    assert abs(angle[round(v), round(u)]) < 0.01
    assert PROBE.mask[tuple((PROBE.fan_points[:, 1::-1] / PROBE.pixel_mm).round().astype(int).T)].all()


@pytest.mark.parametrize("values", [{"radius_mm": 0.0}, {"depth_mm": -1.0}, {"pixel_mm": float("nan")}])
def test_an_impossible_probe_is_refused_by_name(values):
    with pytest.raises(InputError, match=next(iter(values))):
        CurvilinearProbe(**values)


def test_a_transverse_pose_looks_into_the_body():
    pose = pose_on_skin(PROBE, (5.0, 0.0, 7.0))
    np.testing.assert_allclose(apply(pose, PROBE.face), [5.0, 0.0, 7.0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-12)
    sagittal = pose_on_skin(PROBE, yaw_deg=-90.0)
    np.testing.assert_allclose(sagittal[:3, :3], [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-12)


def test_a_hybrid_sweep_tilts_and_translates_about_its_middle():
    middle = pose_on_skin(PROBE, (2.0, 0.0, 3.0), yaw_deg=25.0)
    poses = sweep_poses(PROBE, middle, 61, tilt_deg=60.0, translation_mm=30.0)
    np.testing.assert_allclose(poses[30], middle, atol=1e-12)
    assert np.degrees(geodesic_distance(poses[0, :3, :3], poses[-1, :3, :3])) == pytest.approx(60.0)
    faces = apply(inverse(middle), np.stack([apply(pose, PROBE.face) for pose in poses])) - PROBE.face
    np.testing.assert_allclose(faces[:, 2], np.linspace(-15.0, 15.0, 61), atol=1e-9)
    np.testing.assert_allclose(faces[:, :2], 0.0, atol=1e-9)
    deep = apply(inverse(middle), np.stack([apply(pose, PROBE.face + np.array([0, 100.0, 0])) for pose in poses]))
    assert np.all(np.diff(deep[:, 2]) > np.diff(faces[:, 2]))  # the planes spread apart with depth
    with pytest.raises(InputError, match="two or more"):
        sweep_poses(PROBE, middle, 1)


@pytest.mark.parametrize("epoch", [0.0, 1.8e9])
def test_the_hand_moves_smoothly_within_its_bounds(epoch):
    nominal = pose_on_skin(PROBE, yaw_deg=-40.0)
    path = HandHeldPath(PROBE, nominal, seed=4, slide_mm=12.0, turn_deg=7.0)
    times = epoch + np.arange(0.0, 60.0, 0.1)
    poses = np.stack([path.pose(t) for t in times])
    faces = apply(inverse(nominal), np.stack([apply(pose, PROBE.face) for pose in poses])) - PROBE.face
    assert np.abs(faces).max(axis=0) == pytest.approx([12.0, 1.2, 8.0], rel=0.75)
    assert np.all(np.abs(faces) <= np.array([12.1, 1.3, 8.15]))
    turns = np.degrees(geodesic_distance(poses[:, :3, :3], nominal[:3, :3]))
    assert 3.0 < turns.max() < 7.0 * np.sqrt(2.0 + 0.67**2)
    assert np.abs(np.diff(faces, axis=0)).max() < 2.5  # under 25 mm/s
    np.testing.assert_array_equal(path.pose(times[7]), HandHeldPath(PROBE, nominal, seed=4).pose(times[7]))


def test_a_subject_is_its_seed(liver):
    again, other = make_liver(2, spacing=2.0), make_liver(3, spacing=2.0)
    np.testing.assert_array_equal(liver.organ.echogenicity, again.organ.echogenicity)
    np.testing.assert_array_equal(liver.wall.echogenicity, again.wall.echogenicity)
    assert not np.array_equal(liver.organ.echogenicity, other.organ.echogenicity)
    assert np.linalg.norm(liver.tumour_centre - other.tumour_centre) > 1.0


def at(tissue, points):
    i, j, k = np.round((np.atleast_2d(points) - tissue.origin) / tissue.spacing).astype(int).T
    return tissue.echogenicity[k, j, i]


def test_bifurcations_are_full_of_blood(liver):
    assert len(liver.bifurcations) >= 10
    assert np.mean(at(liver.organ, liver.bifurcations) < 0.3) > 0.85


def test_the_tumour_has_the_contrast_asked_for(liver):
    offsets = np.random.default_rng(0).uniform(-0.4, 0.4, size=(200, 3)) * liver.tumour_semi_axes
    tissue = at(liver.organ, liver.tumour_centre + offsets)
    tissue = tissue[tissue > 0.3]  # a vessel may cross it
    assert np.mean(tissue) == pytest.approx(10.0 ** (-4.0 / 20.0), rel=0.12)
    assert np.all((liver.tumour_semi_axes > 7.0) & (liver.tumour_semi_axes < 13.0))


def run(folder, *options):
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    simulate.run(parser.parse_args(["--output", str(folder), *options]))


def test_simulate_writes_a_sweep_a_clip_and_the_truth(tmp_path, capsys):
    run(tmp_path / "a", "--seed", "1", "--frames", "3", "--rate", "2", "--sweep-frames", "2", "--pixel-mm", "0.8")
    assert "clip of 3 frames" in capsys.readouterr().out
    frames, tracked, sweep = (
        read_sequence(tmp_path / "a" / f"{name}.igs.mha") for name in ("frames", "tracked", "sweep")
    )
    assert len(sweep) == 2
    np.testing.assert_array_equal(frames.frames, tracked.frames)
    np.testing.assert_array_equal(frames.timestamps, tracked.timestamps)
    mask = cv2.imread(str(tmp_path / "a" / "mask.png"), cv2.IMREAD_UNCHANGED) > 0
    np.testing.assert_array_equal(mask, CurvilinearProbe(pixel_mm=0.8).mask)
    matrix = np.array(yaml.safe_load((tmp_path / "a" / "volume_from_mri.yaml").read_text())["matrix"])
    mri, labels = read_volume(tmp_path / "a" / "mri.mha"), read_volume(tmp_path / "a" / "anatomy.seg.nrrd")
    expected, volume_from_mri = make_mri(make_liver(1))
    np.testing.assert_array_equal(mri.array, expected.array)
    np.testing.assert_allclose(mri.volume_from_voxel, expected.volume_from_voxel, atol=1e-9)
    np.testing.assert_allclose(matrix, volume_from_mri, atol=1e-12)
    assert set(np.unique(labels.array)) == {0, 1, 2}
    truth = json.loads((tmp_path / "a" / "truth.json").read_text())
    middle = apply(labels.volume_from_voxel, np.argwhere(labels.array == 2)[:, ::-1].mean(axis=0))
    np.testing.assert_allclose(middle, truth["tumour_centre_mm"], atol=0.2)
    for index in range(3):
        correction = frames.world_from_pixel[index] @ np.linalg.inv(tracked.world_from_pixel[index])
        np.testing.assert_allclose(correction[:3, :3] @ correction[:3, :3].T, np.eye(3), atol=1e-6)
        found = apply(np.linalg.inv(correction), truth["tumour_centre_mm"])
        assert np.linalg.norm(found - truth["tumour_now_mm"][index]) < 4.0 * max(truth["nonrigid_residual_mm"]) + 0.1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--frames", "0"], "--frames"),
        (["--seed", "-1"], "--seed"),
        (["--rate", "0"], "--rate"),
        (["--tilt-deg", "nan"], "--tilt-deg"),
        (["--sweep-frames", "1"], "sweep"),
        (["--breathing-mm", "-3"], "amplitude_mm"),
        (["--pixel-mm", "0"], "pixel_mm"),
    ],
)
def test_simulate_refuses_impossible_options_and_writes_nothing(tmp_path, options, named):
    with pytest.raises(InputError, match=named):
        run(tmp_path / "b", *options)
    assert not (tmp_path / "b").exists()


def test_simulate_refuses_a_file_as_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        run(tmp_path / "taken")
