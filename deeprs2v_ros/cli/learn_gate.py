"""Learn when a result may be believed, from simulated subjects whose truth is known.

Prints how well they do and writes them as parameters of the node `registration`; the gates in `registration/methods.py`
were found like this. Subjects that are not there yet are made first; by default they are ones that no shipped network
was trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.registration.gate import Reason, judge
from deeprs2v_ros.registration.methods import METHODS
from deeprs2v_ros.registration.settings import GateSettings
from deeprs2v_ros.training.clips import subjects_in
from deeprs2v_ros.training.gate_learning import WRONG, Sample, gather, learn_gate
from deeprs2v_ros.training.subjects import make_missing_subjects


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--subjects", type=Path, default=Path("out/subjects"), help="folder of simulated subjects")
    parser.add_argument("--first", type=int, default=2000, help="seed of the first subject (default 2000)")
    parser.add_argument("--count", type=int, default=20, help="how many subjects (default 20)")
    parser.add_argument("--method", choices=METHODS, default="deeprs2v+lncc", help="whose results are judged")
    parser.add_argument("--weights", help="for methods with a network: a .safetensors file, or a shipped one by name")
    parser.add_argument("--every", type=int, default=3, help="use every n-th frame (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the displacements (default 0)")
    parser.add_argument("--output", type=Path, required=True, help="YAML file to write")


def run(arguments: argparse.Namespace) -> None:
    """Register, learn, write, and say what the gate does on the results it was learnt from."""
    if arguments.count < 2:
        raise InputError("count: at least two subjects, as frames are held against another's volume too")
    if not arguments.output.parent.is_dir():
        raise InputError(f"{arguments.output}: the folder {arguments.output.parent} does not exist")
    make_missing_subjects(arguments.subjects, range(arguments.first, arguments.first + arguments.count))
    clips = subjects_in(arguments.subjects, arguments.first, arguments.count)
    found = gather(clips, arguments.method, arguments.seed, arguments.every, arguments.weights)
    samples = list(tqdm(found, desc="results", unit="frame"))
    gate = learn_gate(samples, METHODS[arguments.method].gate)
    print(describe(samples, gate))
    parameters = {f"gate.{name}": value for name, value in asdict(gate).items()}
    with written_whole(arguments.output) as temporary:
        text = yaml.safe_dump({"/**/registration": {"ros__parameters": parameters}}, sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
    print(f"{arguments.output}: the gate of {arguments.method}")


def describe(samples: Sequence[Sample], gate: GateSettings) -> str:
    """How many right and wrong results pass the gate."""
    passes = np.array([judge(sample.signals, gate) is Reason.NONE for sample in samples])
    wrong = np.array([sample.error > WRONG for sample in samples])
    return (
        f"{len(samples)} results, {np.count_nonzero(wrong)} of them wrong: "
        f"{np.mean(passes[~wrong]) if (~wrong).any() else 0.0:.1%} of the right ones pass, "
        f"and {np.count_nonzero(passes & wrong)} wrong ones"
    )
