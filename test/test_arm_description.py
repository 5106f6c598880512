"""The YAML file of an arm: what it says is what comes out, and faults are named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config" / "arm" / "liver.yaml"


@pytest.fixture
def edited(tmp_path):
    """Write the arm's YAML with changes beside a copy of its URDF; gives a function (path of keys, value) -> file."""
    shutil.copy(ROOT / "urdf" / "liver_arm.urdf", tmp_path / "arm.urdf")

    def write(*keys, value):
        content = yaml.safe_load(CONFIG.read_text())
        content["urdf"] = "arm.urdf"
        entry = content
        for key in keys[:-1]:
            entry = entry[key]
        if value is None:
            del entry[keys[-1]]
        else:
            entry[keys[-1]] = value
        path = tmp_path / "arm.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_every_joint_has_an_encoder_and_rests_within_its_limits():
    arm = read_arm(CONFIG)
    assert set(arm.encoders.encoders) == set(arm.chain.joint_names) == set(arm.rest)
    assert arm.name == "liver"
    for name in ("j1", "j2", "j3", "j4", "j5", "j6", "j7"):
        assert np.degrees(arm.encoders.encoders[name].resolution) == pytest.approx(360 / 4096)
    assert arm.encoders.encoders["translate"].resolution == pytest.approx(0.001)
    assert np.degrees(arm.rest["j7"]) == pytest.approx(-120)


def test_at_rest_the_image_looks_down_and_lies_before_the_cart():
    arm = read_arm(CONFIG)
    base_from_image = arm.chain.base_from("us_image", arm.rest)
    assert base_from_image[2, 1] < -0.95
    assert base_from_image[2, 3] < -200


def test_images_of_any_geometry_hang_on_the_middle_of_the_face():
    arm = read_arm(CONFIG)
    image_from_pixel = np.diag([0.3, 0.25, 1.0, 1.0])
    held = arm.holding((400, 601), image_from_pixel)
    probe = held.chain.base_from("us_probe", held.rest)
    image = held.chain.base_from("us_image", held.rest)
    np.testing.assert_allclose(apply(image, apply(image_from_pixel, [300, 0, 0])), probe[:3, 3], atol=1e-9)
    np.testing.assert_allclose(image[:3, :3], probe[:3, :3], atol=1e-12)
    held = arm.holding((400, 601), image_from_pixel, face=(310.0, 12.0))
    image = held.chain.base_from("us_image", held.rest)
    np.testing.assert_allclose(apply(image, apply(image_from_pixel, [310, 12, 0])), probe[:3, 3], atol=1e-9)
    assert held.encoders.chain is held.chain


def test_a_table_may_be_a_list_or_a_file(edited, tmp_path):
    pairs = [[-180.0, -178.0], [0.0, 1.0], [180.0, 182.0]]
    listed = read_arm(edited("joints", "j1", "table", value=pairs)).encoders.encoders["j1"].table
    assert listed.periodic
    assert np.degrees(listed.joint_from(np.radians(90.0))) == pytest.approx(91.5)
    (tmp_path / "j1.csv").write_text("encoder_deg,joint_deg\n" + "\n".join(f"{a},{b}" for a, b in pairs))
    filed = read_arm(edited("joints", "j1", "table", value="j1.csv")).encoders.encoders["j1"].table
    np.testing.assert_array_equal(filed.joint, listed.joint)


FAULTS = {
    "version": (("version",), 2, "version 2 is not 1"),
    "units": (("units",), {"angle": "rad", "length": "mm"}, "units .* are not"),
    "no units": (("units",), None, "units is missing"),
    "unknown key": (("colour",), "red", "colour is not known"),
    "no urdf": (("urdf",), "none.urdf", r"none\.urdf: cannot be read"),
    "joint missing": (("joints", "j6"), None, r"arm\.urdf: no encoder for the joint j6"),
    "joint unknown": (("joints", "j8"), {"bits": 12, "sign": 1, "zero": 0, "wrap": [-180, 180]}, "an encoder for j8"),
    "bits": (("joints", "j2", "bits"), 12.5, "j2: bits is 12.5, not a whole number"),
    "sign": (("joints", "j2", "sign"), 0, "j2: sign is 0, not 1 or -1"),
    "zero": (("joints", "j2", "zero"), "none", "j2: zero is 'none', not a number"),
    "not finite": (("joints", "j2", "zero"), float("nan"), "j2: zero is nan, not a number"),
    "no zero": (("joints", "j2", "zero"), None, "j2: zero is missing"),
    "wrap": (("joints", "j2", "wrap"), [180, -180], "j2: wrap is .* not below"),
    "wrap of three": (("joints", "j2", "wrap"), [1, 2, 3], r"j2: wrap is .* not \[low, high\]"),
    "joint option": (("joints", "j2", "gain"), 1.0, "j2: gain is not known"),
    "table": (("joints", "j2", "table"), [[0, 0], [1, 1], [1, 2]], "j2: table: must increase"),
    "table of one": (("joints", "j2", "table"), [[0, 0]], "j2: table: needs at least two pairs"),
    "table shape": (("joints", "j2", "table"), [[0, 0, 0], [1, 1, 1]], "j2: table: is not a list of"),
    "table file": (("joints", "j2", "table"), "none.csv", r"j2: table .*none\.csv: cannot be read"),
    "coupling": (("joints", "j5", "coupling", "terms"), [[1, 1.3]], r"j5: coupling: terms is not a list"),
    "coupling without t": (("joints", "j5", "coupling", "terms"), [[[1, 2], 0.1]], r"positive \[\[1, 0\], c\]"),
    "coupling twice": (("joints", "j5", "coupling", "terms"), [[[1, 0], 1], [[1, 0], 1]], "each pair of powers once"),
    "coupled to none": (("joints", "j5", "coupling", "with"), "j9", "j5: j9 is no joint to be coupled to"),
    "rest missing": (("rest", "j5"), None, "rest: j5 is missing"),
    "rest outside": (("rest", "j5"), 80.0, "rest of j5 is outside the limits"),
    "rest no number": (("rest", "j5"), True, "rest of j5 is True, not a number"),
    "joints": (("joints",), ["j1"], "joints: is not a mapping"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_description_is_refused_by_name(edited, fault):
    keys, value, message = FAULTS[fault]
    path = edited(*keys, value=value)
    with pytest.raises(InputError, match=message) as caught:
        read_arm(path)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_is_refused(tmp_path):
    path = tmp_path / "arm.yaml"
    with pytest.raises(InputError, match=r"arm\.yaml: cannot be read"):
        read_arm(path)
    path.write_text("joints: [")
    with pytest.raises(InputError, match=r"arm\.yaml: not a YAML file") as caught:
        read_arm(path)
    assert "\n" not in str(caught.value)
    path.write_text("just words")
    with pytest.raises(InputError, match=r"arm\.yaml: is not a mapping"):
        read_arm(path)
