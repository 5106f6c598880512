"""Measure how far a calibrated arm is from where a tracker saw its tool.

With --refit-base the base is first placed where these pairs put it, for a cart or a tracker that was moved since.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deeprs2v_ros.arm.calibration.calibration import accuracy, refit_base
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import arm_from, load_document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--pairs", type=Path, required=True, help="CSV file of encoder readings and tracked poses")
    parser.add_argument("--calibration", type=Path, required=True, help="YAML file of a calibrated arm")
    parser.add_argument("--refit-base", action="store_true", help="fit the base to these pairs first")


def run(arguments: argparse.Namespace) -> None:
    """Read, compare, and say how accurate it is."""
    document = load_document(arguments.calibration)
    pairs = read_pairs(arguments.pairs, arm_from(document, arguments.calibration))
    if arguments.refit_base:
        document = refit_base(document, arguments.calibration, pairs)
    print(accuracy(arm_from(document, arguments.calibration), pairs))
