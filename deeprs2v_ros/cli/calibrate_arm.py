"""Calibrate an arm from pairs of encoder readings and tracked poses of its tool.

Fits where tracker and tool are, the encoders' zeros and error curves, the joints' places and axes, and how the bearings
give, all at once, on positions and rotations. Look-up tables, if there are any, are where the error curves begin. What
the pairs do not determine stays at its nominal value or is shared, and is listed in the file. The last line is the
accuracy on the pairs themselves, or with --cross-validate on blocks of them that were left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from deeprs2v_ros.arm.calibration.calibration import calibrate, cross_validate
from deeprs2v_ros.arm.calibration.document import with_tables, write_document
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.calibration.report import write_report
from deeprs2v_ros.arm.description import load_document, read_arm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--pairs", type=Path, required=True, help="CSV file of encoder readings and tracked poses")
    parser.add_argument("--arm", type=Path, required=True, help="YAML file of the arm, as in config/arm")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="folder of look-up tables lut_encoder<n>.csv")
    parser.add_argument(
        "--cross-validate", type=int, metavar="K", help="judge by K contiguous blocks, each left out once"
    )
    parser.add_argument("--output", type=Path, required=True, help="YAML file of the calibrated arm to write")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder to write pictures and a page to")


def run(arguments: argparse.Namespace) -> None:
    """Read, fit, judge, write, and say how accurate it is."""
    arm = read_arm(arguments.arm)
    document, used = load_document(arguments.arm), []
    pairs = read_pairs(arguments.pairs, arm)
    if arguments.tables is not None:
        document, used = with_tables(document, arguments.tables)
    with tqdm(desc="calibrating", unit="round", disable=None) as bar:
        calibrated = calibrate(document, arguments.arm, pairs, bar.update)
        judged = calibrated.accuracy
        if arguments.cross_validate is not None:
            bar.set_description("cross-validating")
            judged = cross_validate(document, arguments.arm, pairs, arguments.cross_validate, bar.update)
    tables = f" and the tables {', '.join(used)}" if used else ""
    blocks = "" if arguments.cross_validate is None else f", {arguments.cross_validate}-fold cross-validation"
    provenance = f"calibrated by {len(pairs)} pairs of {arguments.pairs.name}{tables}; {judged}{blocks}"
    write_document(calibrated.document, arguments.output, Path(arm.chain.source), provenance)
    if arguments.report is not None:
        write_report(arguments.report, calibrated, judged, provenance)
    if used:
        print(f"tables: {', '.join(used)} (a coupled joint keeps its coupling)")
    for name in calibrated.fit.model.unknowns.locked:
        print(f"{name}: does not move in these pairs, its zero and its curve are left as they were")
    gross = pairs.lines[calibrated.fit.gross]
    if len(gross):
        print(f"{len(gross)} gross pairs, which hardly count: {', '.join(map(str, gross))} (lines of data, from 0)")
    if arguments.cross_validate is not None:
        print(f"on the pairs it was made from: {calibrated.accuracy}")
    print(judged)
