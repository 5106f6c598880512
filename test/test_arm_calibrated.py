"""The YAML file of a calibrated arm: bound to its URDF, and faults are named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from deeprs2v_ros.arm.description import fingerprint, read_arm
from deeprs2v_ros.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
NOMINAL = ROOT / "config" / "arm" / "liver.yaml"

SECTION = {
    "pairs": "40 of pairs.csv",
    "tracker_from_base": np.eye(4)[:3].tolist(),
    "flange_from_tool": np.eye(4)[:3].tolist(),
    "tracker": {"position": 0.1, "rotation": 0.02},
    "covariance": (0.01 * np.eye(6)).tolist(),
    "seen": {"j1": [-70.0, 80.0]},
    "locked": ["j4"],
    "undetermined": [],
}


@pytest.fixture
def calibrated(tmp_path):
    """Writes the YAML file of a calibrated arm, edited."""

    def write(edit=lambda document: None):
        urdf = Path(shutil.copy(ROOT / "urdf" / "liver_arm.urdf", tmp_path / "arm.urdf"))
        document = yaml.safe_load(NOMINAL.read_text())
        section = {key: yaml.safe_load(yaml.safe_dump(entry)) for key, entry in SECTION.items()}
        document |= {"urdf": "arm.urdf", "urdf_sha256": fingerprint(urdf), "calibration": section}
        document["joints"]["j1"]["harmonics"] = [[1.0, 0.5], [0.1, 0.0]]
        document["corrections"] = {"j2": {"origin": [1.0, 0.0, 0.0, 0.0, 0.5, 0.0], "compliance": [0.5, 0.0, 0.3]}}
        edit(document)
        path = tmp_path / "calibrated.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    return write


def test_a_calibration_is_bound_to_its_urdf(calibrated):
    path = calibrated()
    assert read_arm(path).calibration.pairs == "40 of pairs.csv"
    urdf = path.with_name("arm.urdf")
    urdf.write_text(urdf.read_text().replace("0.254", "0.255"))
    with pytest.raises(InputError, match=r"arm\.urdf is not the URDF that this calibration was made with"):
        read_arm(path)


def put(*keys, value):
    """An edit that sets an entry, or takes it away where ``value`` is None."""

    def edit(document):
        entry = document
        for key in keys[:-1]:
            entry = entry[key]
        if value is None:
            del entry[keys[-1]]
        else:
            entry[keys[-1]] = value

    return edit


LOPSIDED = np.eye(6)
LOPSIDED[0, 1] = 0.5
FAULTY_CALIBRATIONS = {
    "section": (put("calibration", value="none"), "calibration: needs exactly the keys"),
    "key missing": (put("calibration", "seen", value=None), "calibration: needs exactly the keys"),
    "key unknown": (put("calibration", "colour", value=1), "calibration: needs exactly the keys"),
    "not rigid": (put("calibration", "flange_from_tool", 0, 0, value=1.1), "flange_from_tool: is no rigid pose"),
    "mirrored": (put("calibration", "tracker_from_base", 0, 0, value=-1.0), "tracker_from_base: is no rigid pose"),
    "shape": (put("calibration", "tracker_from_base", value=[[1, 0], [0, 1]]), "is not 3 x 4 finite numbers"),
    "ragged": (put("calibration", "tracker_from_base", value=[[1], [0, 1]]), "calibration: tracker_from_base: "),
    "not finite": (put("calibration", "covariance", 0, 0, value=float("nan")), "is not 6 x 6 finite numbers"),
    "lopsided": (put("calibration", "covariance", value=LOPSIDED.tolist()), "is not symmetric and positive"),
    "negative": (put("calibration", "covariance", 2, 2, value=-1.0), "is not symmetric and positive"),
    "seen": (put("calibration", "seen", "j1", value=[1.0]), "calibration: is not 2 finite numbers"),
    "seen by nobody": (put("calibration", "seen", value=[1, 2]), "seen or tracker is malformed"),
    "tracker": (put("calibration", "tracker", value={"position": 0.1}), "seen or tracker is malformed"),
    "tracker word": (put("calibration", "tracker", "rotation", value="x"), "seen or tracker is malformed"),
    "curve": (put("joints", "j1", "harmonics", value=[1.0, 2.0]), r"j1: harmonics: is not a list of \[cosine, sine\]"),
    "curve word": (put("joints", "j1", "harmonics", value=[["a", 0.0]]), "j1: harmonics: "),
    "curve falls": (put("joints", "j1", "harmonics", value=[[0.0, 90.0]]), "j1: harmonics: must increase strictly"),
    "noise": (put("joints", "j1", "noise", value="loud"), "j1: noise is 'loud', not a number"),
    "corrections": (put("corrections", value=[1]), "corrections: is not a mapping"),
    "correction": (put("corrections", "j2", "length", value=1.0), "corrections: j2: length is not known"),
    "origin": (put("corrections", "j2", "origin", value=[1.0, 2.0]), "j2: origin is .* not 6 numbers"),
    "compliance": (put("corrections", "j2", "compliance", value=[0, 0, "x"]), "compliance is 'x', not a number"),
    "no joint to correct": (put("corrections", "j9", value={"origin": [0] * 6}), "has no joint j9 to correct"),
    "bearings": (put("bearings", value=["j1", "j9"]), r"bearings is \['j1', 'j9'\], not a list of joints"),
    "bearing": (put("bearings", value="j1"), "bearings is 'j1', not a list of joints"),
    "flange": (put("flange", value="hand"), "has no link hand"),
    "no flange": (put("flange", value=None), "flange is missing"),
}


@pytest.mark.parametrize("fault", FAULTY_CALIBRATIONS)
def test_a_faulty_calibration_is_refused_by_name(calibrated, fault):
    edit, message = FAULTY_CALIBRATIONS[fault]
    path = calibrated(edit)
    with pytest.raises(InputError, match=message) as caught:
        read_arm(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
