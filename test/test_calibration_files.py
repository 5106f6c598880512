"""Files of calibration: faults are named, and nothing is written where there was one."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic_arm import drawn_arm, postures, write_pairs

from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import read_arm
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
    with pytest.raises(InputError, match=r"binary\.csv: is not a CSV file"):
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


def test_an_angle_that_the_coupling_does_not_reach_is_refused(pairs):
    document = yaml.safe_load(NOMINAL.read_text()) | {"urdf": str(ROOT / "urdf" / "liver_arm.urdf")}
    document["joints"]["j5"]["coupling"]["terms"] = [[[1, 0], 1.0], [[3, 0], -1.0]]
    path = pairs.with_name("arm.yaml")
    path.write_text(yaml.safe_dump(document))
    change(pairs, without("q5_raw"))
    with pytest.raises(InputError, match="line 4: q5 is out of the coupling's reach"):
        read_pairs(change(pairs, with_text(2, "q5", "60.0")), read_arm(path))


def refused(capsys, folder, *words):
    """Run a command that is to fail; gives its one line, and checks that it left nothing behind."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
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
