"""Find slipped encoder zeros again, from a handful of tracked poses of a new session.

Zeros, base and tool are fitted anew; geometry, error curves and everything else stay. The last line is the accuracy on
the pairs after the first N, or on all of them without --first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from deeprs2v_ros.arm.calibration.calibration import accuracy, rezero
from deeprs2v_ros.arm.calibration.document import write_document
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.description import arm_from, load_document
from deeprs2v_ros.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--pairs", type=Path, required=True, help="CSV file of encoder readings and tracked poses")
    parser.add_argument("--calibration", type=Path, required=True, help="YAML file of a calibrated arm")
    parser.add_argument("--first", type=int, metavar="N", help="use only the first N pairs, and judge by the others")
    parser.add_argument("--output", type=Path, required=True, help="YAML file of the arm with new zeros to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, fit, write, and say which zeros moved and how accurate it is."""
    document = load_document(arguments.calibration)
    arm = arm_from(document, arguments.calibration)
    pairs = read_pairs(arguments.pairs, arm)
    used, others = pairs, pairs
    if arguments.first is not None:
        if not 0 < arguments.first < len(pairs):
            raise InputError(f"--first: {arguments.first} of {len(pairs)} pairs leaves none to use or to judge by")
        used, others = pairs[: arguments.first], pairs[arguments.first :]
    new, found, unsure = rezero(document, arguments.calibration, used)
    judged = accuracy(arm_from(new, arguments.calibration), others)
    source = f"zeros, base and tool by {len(used)} pairs of {arguments.pairs.name}; {judged}"
    write_document(new, arguments.output, Path(arm.chain.source), f"{arm.provenance}; {source}")
    for block in found.model.unknowns.of("zero"):
        slip = np.degrees(found.state.values[block.where][0])
        sure = np.degrees(np.sqrt(np.diag(found.covariance)[block.where][0]))
        print(f"{block.joint}: zero moved by {slip:+.2f} deg, give or take {sure:.2f}")
    for name in found.model.unknowns.locked:
        print(f"{name}: does not move in these pairs, its zero stays")
    for name in unsure:
        print(f"{name}: cannot be told from how base and marker are mounted, its zero stays")
    print(judged)
