"""Calibrations of synthetic arms, each made once by the command and shared by the tests."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from synthetic_arm import drawn_arm, faulty_arm, postures, write_pairs

from deeprs2v_ros.arm.calibration.calibration import accuracy
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.cli.main import main

NOMINAL = Path(__file__).resolve().parents[1] / "config" / "arm" / "liver.yaml"
PAIRS = 60
SHIFTED, SWAPPED = [17, 55], [31, 40]
INSIDE_95 = 12.59  # of chi squared with six degrees of freedom


def run(*words):
    """Run a subcommand; gives what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([str(word) for word in words]) == 0
    return printed.getvalue()


def spoil(poses):
    """Shift two poses by 30 mm and swap two others, in place."""
    poses[SHIFTED, :3, 3] += [[30.0, 0.0, 0.0], [0.0, -21.0, 21.0]]
    poses[SWAPPED] = poses[SWAPPED[::-1]]


class Calibrations:
    """Gives calibrations by name, each with arm, files, content, and what the command printed."""

    def __init__(self, folder):
        self._folder = folder
        self._made = {}
        self._arms = {
            "faulty": faulty_arm(np.random.default_rng(1)),
            "playing": faulty_arm(np.random.default_rng(1), play=0.1),
            "drawn": drawn_arm(np.random.default_rng(1)),
        }

    def __call__(self, name):
        if name not in self._made:
            arm = self._arms[name.removeprefix("spoilt ")]
            discs = postures(np.random.default_rng(2), PAIRS)
            poses = arm.poses(discs)
            if name.startswith("spoilt"):
                spoil(poses)
            folder = self._folder / name.replace(" ", "_")
            folder.mkdir()
            pairs = write_pairs(folder / "pairs.csv", arm.readings(discs), poses)
            output = folder / "calibrated.yaml"
            printed = run("calibrate-arm", "--pairs", pairs, "--arm", NOMINAL, "--output", output)
            document = yaml.safe_load(output.read_text())
            self._made[name] = SimpleNamespace(arm=arm, pairs=pairs, output=output, document=document, printed=printed)
        return self._made[name]


def readings_and_poses(arm, seed, number, held=None):
    """``number`` pairs of an arm; the joint ``held`` does not move."""
    discs = postures(np.random.default_rng(seed), number)
    if held is not None:
        discs[:, held] = 4.0
    return arm.readings(discs), arm.poses(discs)


def judge(path, arm, exact=False):
    """The accuracy of a calibrated file on new postures of an arm, and the floor (N,) mm.

    ``exact``: with encoders that neither round nor play, so that every error is the calibration's.
    """
    discs = postures(np.random.default_rng(3), 200)
    readings = discs - arm.zeros if exact else arm.readings(discs)
    truth = arm.poses(discs)
    floor = np.linalg.norm((arm.poses(arm.discs_from(readings)) - truth)[:, :3, 3], axis=1)
    calibrated = read_arm(path)
    pairs = read_pairs(write_pairs(Path(path).with_name("new.csv"), readings, truth), calibrated)
    return accuracy(calibrated, pairs), floor
