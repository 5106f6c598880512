"""Compare registered poses with true ones: tables, figures and a page that shows them.

Results may hold the reference's frames several times over: frame i belongs to reference frame i modulo their number.
Methods are named after their files, and compared with the last one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.landmarks import read_landmarks
from deeprs2v_ros.evaluation.method import method_from_poses, method_from_start, method_from_truth
from deeprs2v_ros.evaluation.report import Condition, write_report
from deeprs2v_ros.imaging.sequence import read_sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--reference", type=Path, required=True, help="sequence with the true poses (.igs.mha)")
    parser.add_argument(
        "--results", type=Path, required=True, nargs="+", metavar="POSES", help="registered poses (.csv)"
    )
    parser.add_argument("--start", type=Path, help="sequence with the poses before registration, for a row of its own")
    parser.add_argument(
        "--landmarks",
        type=Path,
        help="vessel bifurcations, for the target registration error: a .csv of frame, image_x .. volume_z (mm), or "
        "Slicer's .mrk.json with points in the volume's world",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the report")


def run(arguments: argparse.Namespace) -> None:
    """Read, compare, write the report, and print its main table."""
    reference = read_sequence(arguments.reference)
    if not reference.valid.any():
        raise InputError(f"{arguments.reference}: none of its {len(reference)} frames is valid")
    landmarks = read_landmarks(arguments.landmarks, reference) if arguments.landmarks else None
    names = method_names(arguments.results)
    methods = [
        method_from_poses(name, path, reference, landmarks) for name, path in zip(names, arguments.results, strict=True)
    ]
    start = truth = None
    if arguments.start:
        start = method_from_start(arguments.start, read_sequence(arguments.start), reference, landmarks)
        methods = [method.from_start(start) for method in methods]
    if landmarks is not None:
        truth = method_from_truth(arguments.reference, reference, landmarks)
    sources = [
        f"Reference: {arguments.reference}, {len(reference)} frames",
        *(f"{name}: {path}" for name, path in zip(names, arguments.results, strict=True)),
        *([f"Before registration: {arguments.start}"] if arguments.start else []),
        *([f"Landmarks: {arguments.landmarks}"] if arguments.landmarks else []),
    ]
    tables = write_report(arguments.output, [Condition("", tuple(methods), start, truth)], sources)
    print("\n\n".join(table.to_text() for table in tables))
    print(f"{arguments.output / 'index.html'}: the whole report")


def method_names(paths: Sequence[Path]) -> list[str]:
    """Names of files without suffix; where two are alike, with the folders that hold them."""
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [str(path.with_suffix("")) for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"results: {next(p for p in paths if paths.count(p) > 1)} is given more than once")
    return names
