"""Vessels in a volume whose vessels are known, and the files that `deeprs2v segment-vessels` writes."""

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from deeprs2v_ros.anatomy.vessels import segment_vessels
from deeprs2v_ros.cli.main import main
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import Volume, read_volume, write_volume

SPACING = np.array([0.9, 1.0, 1.1])


def tubes_and_traps():
    """A volume, its true vessels, and what is dark but no vessel: a cavity, a shadow and the rim of the data."""
    rng = np.random.default_rng(5)
    shape = (80, 84, 90)
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, SPACING[::-1], strict=True)), indexing="ij")
    straight = np.hypot(y - 60.0 - 0.1 * x, z - 30.0) < 4.0
    winding = np.hypot(y - 22.0 - 3.0 * np.sin(z / 12.0), x - 16.0 - 0.1 * z) < 3.0
    cavity = (x - 55.0) ** 2 + (y - 22.0) ** 2 + (z - 64.0) ** 2 < 13.0**2
    shadow = (x > 66.0) & (y < 40.0) & (z < 40.0)
    amplitude = gaussian_filter(np.where(straight | winding | cavity | shadow, 0.0, 1.0), 0.9)
    compressed = 1.0 + np.log10(np.maximum(amplitude, 0.01)) / 1.6  # echoes of the wall fill the rim of a lumen
    grey = (75.0 - 0.4 * y) * np.maximum(compressed, 0.0)
    grey = gaussian_filter(grey * (1.0 + 0.35 * rng.standard_normal(shape)), 0.7)
    empty = x + z < 14.0
    array = np.where(empty, 0, np.clip(grey, 1, 255)).astype(np.uint8)
    direction = Rotation.from_euler("xyz", [20.0, -10.0, 35.0], degrees=True).as_matrix()
    volume = Volume(array, SPACING, np.array([-30.0, 12.0, 80.0]), direction)
    return volume, (straight | winding) & ~empty & ~shadow, cavity | shadow


@pytest.fixture(scope="module")
def scene():
    volume, vessels, traps = tubes_and_traps()
    return volume, vessels, traps, segment_vessels(volume)


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_tubes_are_found_and_nothing_else(scene):
    volume, vessels, traps, found = scene
    assert found.shape == volume.array.shape and found.dtype == bool
    assert dice(found, vessels) > 0.85
    assert not (found & (volume.array == 0)).any()
    assert np.count_nonzero(found & traps & ~vessels) < 0.01 * np.count_nonzero(found)


def test_gain_does_not_matter_and_the_same_is_found_again(scene):
    volume, _, _, found = scene
    np.testing.assert_array_equal(segment_vessels(volume), found)
    dimmed = np.where(volume.array != 0, np.maximum(volume.array * 0.5, 1.0), 0.0).astype(np.float32)
    assert dice(segment_vessels(Volume(dimmed, *geometry(volume))), found) > 0.95


def geometry(volume):
    return volume.spacing, volume.origin, volume.direction


def test_empty_space_around_the_data_changes_nothing(scene):
    volume, _, _, found = scene
    padded = np.pad(volume.array, ((3, 2), (0, 7), (5, 0)))
    origin = volume.origin - volume.direction @ (volume.spacing * (5, 0, 3))
    again = segment_vessels(Volume(padded, volume.spacing, origin, volume.direction))
    np.testing.assert_array_equal(again[3:-2, :-7, 5:], found)


def test_even_tissue_has_no_vessels():
    rng = np.random.default_rng(0)
    grey = gaussian_filter(60.0 * (1.0 + 0.4 * rng.standard_normal((50, 50, 50))), 0.7)
    assert not segment_vessels(Volume(np.clip(grey, 1, 255).astype(np.uint8), np.ones(3))).any()


def test_progress_ends_where_it_said(scene):
    steps = []
    segment_vessels(Volume(np.full((12, 12, 12), 9, np.uint8), np.ones(3)), progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"darkness": 1.0}, "darkness"),
        ({"darkness": float("nan")}, "darkness"),
        ({"widest_mm": 0.5}, "widest_mm"),
        ({"smallest_ml": -1.0}, "smallest_ml"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, named):
    with pytest.raises(InputError, match=named):
        segment_vessels(Volume(np.ones((8, 8, 8), np.uint8), np.ones(3)), **settings)


def test_the_command_writes_a_named_label_map_and_a_picture(scene, tmp_path, capsys):
    volume, _, _, found = scene
    write_volume(tmp_path / "volume.mha", volume)
    output = tmp_path / "vessels.seg.nrrd"
    assert main(["segment-vessels", "--volume", str(tmp_path / "volume.mha"), "--output", str(output)]) == 0
    assert "ml of vessels" in capsys.readouterr().out
    labels = read_volume(output)
    np.testing.assert_array_equal(labels.array, found)
    for ours, given in zip(geometry(labels), geometry(volume), strict=True):
        np.testing.assert_allclose(ours, given, atol=1e-9)
    image = sitk.ReadImage(output)
    assert image.GetMetaData("Segment0_Name") == "vessels"
    assert image.GetMetaData("Segment0_LabelValue") == "1"
    picture = cv2.imread(str(tmp_path / "vessels.png")).astype(int)
    assert np.count_nonzero(np.ptp(picture, axis=2) > 100) > 500  # outlines are coloured, the rest is grey


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"--output": "vessels.png"}, "a label map is written as"),
        ({"--output": "nowhere/vessels.mha"}, "does not exist"),
        ({"--picture": "picture.jpg"}, "a picture is written as .png"),
        ({"--volume": "none.mha"}, "none.mha: no such file"),
        ({}, "even.mha: shows no vessels"),
        ({"--darkness": "7"}, "darkness: must be"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(tmp_path, monkeypatch, capfd, changes, fault):
    monkeypatch.chdir(tmp_path)
    write_volume("even.mha", Volume(np.full((20, 20, 20), 50, np.uint8), np.ones(3)))
    arguments = {"--volume": "even.mha", "--output": "vessels.mha", **changes}
    assert main(["segment-vessels", *(word for pair in arguments.items() for word in pair)]) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("deeprs2v segment-vessels: error: ") and fault in last
    assert [path.name for path in tmp_path.iterdir()] == ["even.mha"]
