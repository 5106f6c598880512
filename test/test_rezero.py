"""New zeros after an encoder slipped on its shaft, from a few poses of the new session."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from calibrations import INSIDE_95, judge, readings_and_poses, run
from synthetic_arm import placed, write_pairs

from deeprs2v_ros.cli.main import main

SLIPS = np.array([3.0, -12.0, 5.0, 0.0, -4.0, 12.0, 6.0])


def in_a_new_session(arm):
    """The arm with other zeros, at another place, with another marker."""
    base, tool = placed(np.random.default_rng(6))
    return replace(arm, tracker_from_base=base, flange_from_tool=tool, zeros=arm.zeros + SLIPS)


def test_twenty_poses_bring_slipped_zeros_back(calibration, tmp_path):
    found = calibration("playing")
    slipped = in_a_new_session(found.arm)
    pairs = write_pairs(tmp_path / "session.csv", *readings_and_poses(slipped, 7, 20))
    output = tmp_path / "rezeroed.yaml"
    printed = run("rezero", "--pairs", pairs, "--calibration", found.output, "--output", output)
    assert judge(found.output, slipped)[0].position.mean() > 100.0
    seen, floor = judge(output, slipped)
    assert seen.position.mean() < 1.5 * floor.mean()
    assert np.mean(seen.distances < INSIDE_95) > 0.85

    new = yaml.safe_load(output.read_text())
    slips = {name: new["joints"][name]["zero"] - found.document["joints"][name]["zero"] for name in new["joints"]}
    for n in (1, 2, 4, 5):  # those of the first and the last joint are shared with base and marker
        assert slips[f"j{n + 1}"] == pytest.approx(SLIPS[n], abs=0.5)
        assert f"j{n + 1}: zero moved by {slips[f'j{n + 1}']:+.2f} deg" in printed
    assert slips["j4"] == slips["tilt"] == 0.0
    assert "j4: does not move in these pairs, its zero stays\n" in printed
    assert all(without(new, key) == without(found.document, key) for key in ("joints", "calibration", "other"))


def without(document, part):
    """A part of a calibrated document, without what a new session may change."""
    if part == "joints":
        return {name: {**entry, "zero": None} for name, entry in document["joints"].items()}
    if part == "calibration":
        return document["calibration"] | {"tracker_from_base": None, "flange_from_tool": None}
    return {key: entry for key, entry in document.items() if key not in ("joints", "calibration", "provenance", "urdf")}


def test_zeros_that_the_poses_do_not_tell_stay(calibration, tmp_path):
    """Joint 6 does not move. The first joint has no error curve, by which a slip could be told from a turned base."""
    found = calibration("drawn")
    slipped = in_a_new_session(found.arm)
    pairs = write_pairs(tmp_path / "session.csv", *readings_and_poses(slipped, 7, 30, held=5))
    output = tmp_path / "rezeroed.yaml"
    printed = run("rezero", "--pairs", pairs, "--calibration", found.output, "--first", 20, "--output", output)
    assert "j6: does not move in these pairs, its zero stays\n" in printed
    assert "j1: cannot be told from how base and marker are mounted, its zero stays\n" in printed
    assert printed.endswith("n 10\n")
    before, after = found.document["joints"], yaml.safe_load(output.read_text())["joints"]
    assert {name for name in after if after[name]["zero"] == before[name]["zero"]} >= {"j1", "j4", "j6", "tilt"}
    assert after["j2"]["zero"] - before["j2"]["zero"] == pytest.approx(SLIPS[1], abs=0.5)


def test_numbers_of_poses_that_leave_nothing_are_refused(calibration, tmp_path, capsys):
    found = calibration("playing")
    pairs = write_pairs(tmp_path / "session.csv", *readings_and_poses(found.arm, 7, 40))
    output = tmp_path / "rezeroed.yaml"
    words = ["rezero", "--pairs", str(pairs), "--calibration", str(found.output), "--output", str(output), "--first"]
    for first in ("0", "-3", "40", "41"):
        assert main([*words, first]) == 2
        line = capsys.readouterr().err
        assert f"--first: {first} of 40 pairs leaves none to use or to judge by\n" in line
    assert main([*words, "5"]) == 2
    assert "5 pairs are too few, new zeros need 6\n" in capsys.readouterr().err
    assert not output.exists()


def test_a_calibrated_arm_is_not_calibrated_on_top(calibration, tmp_path, capsys):
    found = calibration("playing")
    words = ["calibrate-arm", "--pairs", found.pairs, "--arm", found.output, "--output", tmp_path / "twice.yaml"]
    assert main([str(word) for word in words]) == 2
    assert "calibrated.yaml: is calibrated already" in capsys.readouterr().err
    assert not (tmp_path / "twice.yaml").exists()
