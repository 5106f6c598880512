"""Pairs that are not the arm's are refused, with the mistake that fits; nothing is written."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calibrations import NOMINAL, readings_and_poses
from scipy.spatial.transform import Rotation
from synthetic_arm import drawn_arm, faulty_arm, write_pairs

from deeprs2v_ros.arm.calibration import mistakes
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.cli.main import main
from deeprs2v_ros.errors import InputError

ARM = read_arm(NOMINAL)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """30 pairs of an arm with all the faults that arms have."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    write_pairs(path, *readings_and_poses(faulty_arm(np.random.default_rng(1)), 5, 30))
    return read_pairs(path, ARM)


def with_poses(pairs, poses):
    return replace(pairs, tracker_from_tool=poses)


def rotated(pairs, rotations):
    poses = pairs.tracker_from_tool.copy()
    poses[:, :3, :3] = rotations
    return with_poses(pairs, poses)


def rolled(pairs, shift):
    turns = Rotation.from_matrix(pairs.tracker_from_tool[:, :3, :3]).as_quat()
    return rotated(pairs, Rotation.from_quat(np.roll(turns, shift, axis=1)).as_matrix())


def scaled(pairs, factor):
    poses = pairs.tracker_from_tool.copy()
    poses[:, :3, 3] /= factor
    return with_poses(pairs, poses)


def negated(pairs, joint):
    return replace(pairs, encoders=pairs.encoders * np.where(np.arange(7) == joint, -1.0, 1.0))


MISTAKES = {
    "inverted": (lambda p: with_poses(p, np.linalg.inv(p.tracker_from_tool)), r"are the poses inverted"),
    "transposed": (
        lambda p: rotated(p, np.swapaxes(p.tracker_from_tool[:, :3, :3], 1, 2)),
        r"are the rotations transposed",
    ),
    "quaternion w first": (lambda p: rolled(p, 1), r"quaternions .* \(w first, taken as last\)"),
    "quaternion w last": (lambda p: rolled(p, -1), r"quaternions .* \(w last, taken as first\)"),
    "metres": (lambda p: scaled(p, 1e3), r"are positions in metres, not mm"),
    "radians": (lambda p: replace(p, encoders=np.radians(p.encoders)), r"angles in radians, not degrees"),
    "late poses": (
        lambda p: replace(p[1:], encoders=p.encoders[:-1]),
        r"each pose belong to the encoders of the line after",
    ),
    "sign": (lambda p: negated(p, 5), r"is the sign of j6 wrong"),
    "exchanged": (lambda p: replace(p, encoders=p.encoders[:, [0, 1, 3, 2, 4, 5, 6]]), r"of j3 and j4 exchanged"),
    "opposite": (lambda p: replace(p, encoders=p.encoders[:, ::-1]), r"in the opposite order"),
}


def test_pairs_of_a_faulty_arm_are_plausible(pairs):
    mistakes.refuse_before(ARM, pairs)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_can_be_undone(pairs, mistake):
    spoil, said = MISTAKES[mistake]
    (undo,) = (undo for name, undo in mistakes._usual(pairs.names) if re.search(said, name))
    again, kept = undo(spoil(pairs)), slice(1, -1) if mistake == "late poses" else slice(None)
    np.testing.assert_allclose(again.encoders, pairs.encoders[kept], atol=1e-9)
    np.testing.assert_allclose(again.tracker_from_tool, pairs.tracker_from_tool[kept], atol=1e-6)


def test_pairs_that_no_mistake_explains_are_refused_without_a_guess(pairs, monkeypatch):
    usual = list(mistakes._usual(pairs.names))[:2]
    monkeypatch.setattr(mistakes, "_usual", lambda _: usual)
    poses = pairs.tracker_from_tool[np.random.default_rng(0).permutation(len(pairs))]
    with pytest.raises(InputError, match=r"pairs\.csv: half of the pairs are off by more than .* explains it$"):
        mistakes.refuse_before(ARM, with_poses(pairs, poses))


def test_what_is_left_after_all_is_judged_as_well(pairs, monkeypatch):
    left = np.tile([3.0, 1.0, 2.0, 0.0, 0.01, 0.0], (30, 1))
    mistakes.refuse_after(ARM, pairs, left)
    gross = np.where(np.arange(30)[:, None] < 10, 100.0 * left, left)
    mistakes.refuse_after(ARM, pairs, gross)
    monkeypatch.setattr(mistakes, "_usual", lambda _: ())
    with pytest.raises(InputError, match=r"more than 12 mm or 0\.6 deg after all: they are not this arm's"):
        mistakes.refuse_after(ARM, pairs, left * [3.3, 3.3, 3.3, 1.0, 1.0, 1.0])


def test_the_command_refuses_and_writes_nothing(tmp_path, capsys):
    readings, poses = readings_and_poses(drawn_arm(np.random.default_rng(0)), 5, 30)
    path = write_pairs(tmp_path / "pairs.csv", readings, np.linalg.inv(poses))
    words = ["calibrate-arm", "--pairs", path, "--arm", NOMINAL, "--output", tmp_path / "out.yaml"]
    words += ["--report", tmp_path / "report"]
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "pairs.csv: half of the pairs" in error
    assert error.endswith("are the poses inverted (tracker in the tool)?")
    assert list(Path(tmp_path).iterdir()) == [path]
