"""Calibration of a synthetic arm whose faults are known: judged on postures that it has not seen.

The floor is what the true arm itself is off by when it is fed with its own encoders, their quantum and their play.
"""

import base64
from dataclasses import replace

import cv2
import numpy as np
import pytest
from calibrations import INSIDE_95, NOMINAL, SHIFTED, SWAPPED, judge, readings_and_poses, run
from synthetic_arm import COUNT, placed, postures, write_pairs

from deeprs2v_ros.arm.calibration.calibration import accuracy
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import read_arm


@pytest.mark.parametrize("name", ["faulty", "playing", "drawn"])
def test_new_postures_are_predicted_as_well_as_the_encoders_allow(calibration, name):
    """An arm that is as drawn gets no faults that it does not have."""
    found = calibration(name)
    seen, floor = judge(found.output, found.arm)
    assert 0.3 < floor.mean() < 1.2
    assert seen.position.mean() < 1.15 * floor.mean()
    assert seen.rotation.mean() < 0.15
    if name != "playing":  # play follows the last movement, and that is not independent of where it went
        exact, nothing = judge(found.output, found.arm, exact=True)
        assert nothing.max() < 1e-6
        assert exact.position.mean() < 0.5 * floor.mean()


def test_the_faults_are_worth_centimetres(calibration):
    arm = calibration("faulty").arm
    discs = postures(np.random.default_rng(3), 200)
    without = replace(arm, curves={}, shifts={}, leans={}, sag={}).poses(discs)
    assert np.linalg.norm((without - arm.poses(discs))[:, :3, 3], axis=1).mean() > 20.0


def test_a_cart_that_reads_the_file_comes_to_the_same_places(calibration):
    found = calibration("faulty")
    arm = read_arm(found.output)
    discs = postures(np.random.default_rng(3), 200)
    tips = []
    for row in found.arm.readings(discs):
        counts = {f"j{n}": round(reading / COUNT) % 4096 for n, reading in enumerate(row, 1)}
        joints = arm.encoders.joints(counts | {"translate": 0, "tilt": 0})
        flange = arm.calibration.tracker_from_base @ arm.chain.base_from(arm.flange, joints)
        tips.append((flange @ arm.calibration.flange_from_tool)[:3, 3])
    seen, _ = judge(found.output, found.arm)
    np.testing.assert_allclose(found.arm.poses(discs)[:, :3, 3] - tips, seen.residuals[:, :3], atol=0.02)


@pytest.mark.parametrize("name", ["faulty", "playing"])
def test_the_claimed_covariance_is_honest(calibration, name):
    """Errors of rounding have no tails, the claim allows for some: its deviations are at most 1.5 times too large."""
    found = calibration(name)
    seen, _ = judge(found.output, found.arm)
    assert np.mean(seen.distances < INSIDE_95) > 0.85
    white = np.linalg.solve(np.linalg.cholesky(seen.covariances), seen.residuals[..., None])[..., 0]
    deviations = np.sqrt((white**2).mean(axis=0))
    assert deviations.min() > 1 / 1.5
    assert deviations.max() < 1.15


def test_a_locked_joint_is_reported_and_left_alone(calibration):
    found = calibration("faulty")
    assert "j4: does not move in these pairs, its zero and its curve are left as they were\n" in found.printed
    assert found.printed.count("does not move") == 1
    assert found.document["calibration"]["locked"] == ["j4"]
    assert "j4 zero and curve (locked)" in found.document["calibration"]["undetermined"]
    assert found.document["joints"]["j4"]["zero"] == 0.0
    assert "harmonics" not in found.document["joints"]["j4"]
    assert not any(f"j{n} zero and curve (locked)" in found.document["calibration"]["undetermined"] for n in (1, 2, 3))


def test_zeros_that_the_pairs_tell_are_found(calibration):
    """The first and the last joint's are shared with base and tool."""
    found = calibration("faulty")
    for n, name in enumerate(("j2", "j3"), 1):
        assert found.document["joints"][name]["zero"] == pytest.approx(found.arm.zeros[n], abs=3.0)


def test_gross_pairs_are_named_and_change_little(calibration):
    clean, spoilt = calibration("faulty"), calibration("spoilt faulty")
    lines = ", ".join(map(str, sorted(SHIFTED + SWAPPED)))
    assert f"4 gross pairs, which hardly count: {lines} (lines of data, from 0)\n" in spoilt.printed
    assert "gross" not in clean.printed
    seen, floor = judge(spoilt.output, spoilt.arm)
    assert seen.position.mean() < 1.15 * floor.mean()
    before, _ = judge(clean.output, clean.arm)
    assert np.linalg.norm((seen.residuals - before.residuals)[:, :3], axis=1).mean() < 0.5 * floor.mean()


@pytest.fixture(scope="module")
def again(calibration):
    """Folder of a second run by the pairs of the spoilt arm, with a report."""
    found = calibration("spoilt faulty")
    folder = found.output.parent
    words = ["calibrate-arm", "--pairs", found.pairs, "--arm", NOMINAL, "--output", folder / "again.yaml"]
    run(*words, "--report", folder / "report")
    return folder


def test_the_same_pairs_give_the_same_bytes(calibration, again):
    assert (again / "again.yaml").read_bytes() == calibration("spoilt faulty").output.read_bytes()


def test_the_report_shows_pictures_and_numbers(calibration, again):
    assert {path.name for path in (again / "report").iterdir()} == {"index.html", "joints.png", "errors.png"}
    page = (again / "report" / "index.html").read_text()
    for name in ("joints.png", "errors.png"):
        picture = (again / "report" / name).read_bytes()
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert min(pixels.shape[:2]) > 400
        assert (pixels != 255).any(axis=2).mean() > 0.01
        assert base64.b64encode(picture).decode() in page
    blue = (np.abs(pixels.astype(int) - [180, 119, 31]).max(axis=2) < 10)[: len(pixels) // 2]  # of the distributions
    assert blue[:, : blue.shape[1] // 2].sum() > 500
    assert blue[:, blue.shape[1] // 2 :].sum() > 500
    assert f"<td>{calibration('spoilt faulty').printed.splitlines()[-1]}</td>" in page
    assert "<td>17, 31, 40, 55</td>" in page
    assert "<td>Locked joints</td><td>j4</td>" in page


def test_evaluation_says_what_the_file_is_worth(calibration, tmp_path):
    found = calibration("playing")
    discs = postures(np.random.default_rng(3), 200)
    readings, truth = found.arm.readings(discs), found.arm.poses(discs)
    pairs = write_pairs(tmp_path / "new.csv", readings, truth)
    calibrated = read_arm(found.output)
    seen = accuracy(calibrated, read_pairs(pairs, calibrated))
    assert run("evaluate-arm", "--pairs", pairs, "--calibration", found.output) == f"{seen}\n"
    assert f"mean {seen.position.mean():.2f} sd {seen.position.std():.2f}" in str(seen)
    assert f"max {seen.position.max():.2f} mm" in str(seen)
    assert str(seen).endswith("n 200")


def test_a_base_that_was_moved_is_found_again(calibration, tmp_path):
    found = calibration("faulty")
    moved = replace(found.arm, tracker_from_base=placed(np.random.default_rng(5))[0])
    pairs = write_pairs(tmp_path / "moved.csv", *readings_and_poses(moved, 4, 40))
    words = ["evaluate-arm", "--pairs", pairs, "--calibration", found.output]
    _, floor = judge(found.output, found.arm)
    assert float(run(*words).split()[2]) > 100.0
    assert float(run(*words, "--refit-base").split()[2]) < 1.2 * floor.mean()
