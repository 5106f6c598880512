"""Files of calibration: faults are named, and nothing is written where there was one."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic_arm import drawn_arm, postures, write_pairs

from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import fingerprint, read_arm
from deeprs2v_ros.cli.main import main
from deeprs2v_ros.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
NOMINAL = ROOT / "config" / "arm" / "liver.yaml"


@pytest.fixture(scope="module")
def arm():
    return read_arm(NOMINAL)


@pytest.fixture
def pairs(tmp_path):
    """A CSV file of 40 pairs."""
    true = drawn_arm(np.random.default_rng(0))
    discs = postures(np.random.default_rng(1), 40)
    return write_pairs(tmp_path / "pairs.csv", true.readings(discs), true.poses(discs))


def change(path, edit):
    """Edit the rows of a CSV file in place, dicts by heading."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = edit(rows) or rows
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def without(column):
    return lambda rows: [{key: text for key, text in row.items() if key != column} for row in rows]


def with_text(line, column, text):
    return lambda rows: rows[line].update({column: text})


def all_flagged(rows):
    for row in rows:
        row["flag"] = "moved"


FAULTY_PAIRS = {
    "no encoder": (without("q3"), "has no column q3"),
    "no pose": (without("T_ndi_tool_12"), "has no column T_ndi_tool_12"),
    "word": (with_text(6, "q2", "up"), r"line 8: q2 is 'up', not a number"),
    "empty": (with_text(0, "T_ndi_tool_03", ""), "line 2: T_ndi_tool_03 is '', not a number"),
    "nan": (with_text(39, "q7", "nan"), "line 41: q7 is 'nan', not a number"),
    "raw": (with_text(4, "q5_raw", "x"), "line 6: q5_raw is 'x', not a number"),
    "not rigid": (with_text(9, "T_ndi_tool_11", "1.5"), "line 11: T_ndi_tool is no rigid pose"),
    "none ok": (all_flagged, "holds no pair that counts"),
}


@pytest.mark.parametrize("fault", FAULTY_PAIRS)
def test_faulty_pairs_are_refused_by_name(arm, pairs, fault):
    edit, message = FAULTY_PAIRS[fault]
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(change(pairs, edit), arm)
    assert str(caught.value).startswith(f"{pairs}: ")


def test_a_mirrored_pose_is_refused(arm, pairs):
    def mirror(rows):
        for column in range(3):
            rows[3][f"T_ndi_tool_0{column}"] = str(-float(rows[3][f"T_ndi_tool_0{column}"]))

    with pytest.raises(InputError, match="line 5: T_ndi_tool is no rigid pose"):
        read_pairs(change(pairs, mirror), arm)


def test_files_that_are_no_pairs_are_refused(arm, tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_pairs(tmp_path / "none.csv", arm)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"binary\.csv: not a CSV file"):
        read_pairs(tmp_path / "binary.csv", arm)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty\.csv: has no column q1"):
        read_pairs(tmp_path / "empty.csv", arm)


def test_only_pairs_that_are_ok_count_and_keep_their_lines(arm, pairs):
    everything = read_pairs(pairs, arm)

    def flag(rows):
        rows[0]["flag"], rows[5]["flag"], rows[6]["flag"], rows[7]["flag"] = "bad_pair", "moved", " ok ", ""
        rows[5]["q1"] = "broken"  # nobody reads it

    some = read_pairs(change(pairs, flag), arm)
    assert list(some.lines) == [*range(1, 5), *range(6, 40)]
    np.testing.assert_array_equal(some.encoders, everything.encoders[some.lines])
    np.testing.assert_array_equal(some.tracker_from_tool, everything.tracker_from_tool[some.lines])


def test_without_flags_all_pairs_count(arm, pairs):
    assert len(read_pairs(change(pairs, without("flag")), arm)) == 40


def test_without_its_encoder_joint_five_is_traced_back_through_its_coupling(arm, pairs):
    logged = read_pairs(pairs, arm)
    traced = read_pairs(change(pairs, without("q5_raw")), arm)
    np.testing.assert_allclose(np.degrees(traced.encoders), np.degrees(logged.encoders), atol=1e-4)


def refused(capsys, folder, *words):
    """Run a command that is to fail; gives its one line, and checks that it left nothing behind."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return printed.err


def calibrate(pairs, *more):
    return "calibrate-arm", "--pairs", pairs, "--arm", NOMINAL, "--output", pairs.with_name("out.yaml"), *more


def test_too_few_pairs_are_refused(capsys, pairs):
    change(pairs, lambda rows: rows[:29])
    line = refused(capsys, pairs.parent, *calibrate(pairs))
    assert f"{pairs}: 29 pairs are too few, a calibration needs 30" in line


def test_pairs_that_move_too_little_are_refused(capsys, pairs):
    true = drawn_arm(np.random.default_rng(0))
    discs = postures(np.random.default_rng(1), 40)
    discs[:, 2:] = discs[0, 2:]
    write_pairs(pairs, true.readings(discs), true.poses(discs))
    assert f"{pairs}: moves only 2 joints, too few" in refused(capsys, pairs.parent, *calibrate(pairs))


def test_folders_of_tables_that_do_not_fit_are_refused(capsys, pairs):
    folder = pairs.with_name("tables")
    words = calibrate(pairs, "--tables", folder)
    assert "tables: holds no lut_encoder<n>.csv" in refused(capsys, pairs.parent, *words)
    folder.mkdir()
    assert "tables: holds no lut_encoder<n>.csv" in refused(capsys, pairs.parent, *words)
    (folder / "lut_encoder9.csv").write_text("encoder_deg,angle_deg\n0,0\n1,1\n")
    assert "lut_encoder9.csv: the arm has no joint j9" in refused(capsys, pairs.parent, *words)
    (folder / "lut_encoder9.csv").rename(folder / "lut_encoder1.csv")
    (folder / "lut_encoder1.csv").write_text("encoder_deg,angle_deg\n0,none\n")
    assert "lut_encoder1.csv: " in refused(capsys, pairs.parent, *words)
    (folder / "lut_encoder1.csv").write_text("encoder_deg,angle_deg\n0,0\n1,1\n1,2\n")
    assert "j1: table: must increase strictly" in refused(capsys, pairs.parent, *words)


@pytest.fixture
def judged(monkeypatch):
    """Leaves out the fit on all pairs, which comes before cross-validation is looked at."""
    monkeypatch.setattr("deeprs2v_ros.cli.calibrate_arm.calibrate", lambda *_: type("Found", (), {"accuracy": None})())


@pytest.mark.parametrize("folds", ["1", "0", "-2", "41"])
def test_impossible_blocks_are_refused(capsys, pairs, judged, folds):
    line = refused(capsys, pairs.parent, *calibrate(pairs, "--cross-validate", folds))
    assert f"--cross-validate: {folds} blocks of 40 pairs cannot be" in line


def test_an_arm_that_was_never_calibrated_is_refused(capsys, pairs):
    words = ["--pairs", pairs, "--calibration", NOMINAL]
    for command in (
        ["evaluate-arm", *words],
        ["evaluate-arm", *words, "--refit-base"],
        ["rezero", *words, "--output", pairs.with_name("out.yaml")],
    ):
        assert "arm liver: was never calibrated" in refused(capsys, pairs.parent, *command)


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


def test_an_angle_that_the_coupling_does_not_reach_is_refused(pairs, calibrated):
    turning_back = put("joints", "j5", "coupling", "terms", value=[[[1, 0], 1.0], [[3, 0], -1.0]])
    change(pairs, without("q5_raw"))
    with pytest.raises(InputError, match="line 4: q5 is out of the coupling's reach"):
        read_pairs(change(pairs, with_text(2, "q5", "60.0")), read_arm(calibrated(turning_back)))


def test_rezero_refuses_numbers_that_leave_nothing(capsys, pairs, calibrated):
    words = ["rezero", "--pairs", pairs, "--calibration", calibrated(), "--output", pairs.with_name("out.yaml")]
    for first in ("0", "-3", "40", "41"):
        line = refused(capsys, pairs.parent, *words, "--first", first)
        assert f"--first: {first} of 40 pairs leaves none to use or to judge by" in line
    line = refused(capsys, pairs.parent, *words, "--first", "5")
    assert "5 pairs are too few, new zeros need 6" in line


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
