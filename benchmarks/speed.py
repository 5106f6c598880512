"""How fast everything is, in one run, against baselines and on paper.

    python benchmarks/speed.py [--data FOLDER] [--output benchmarks/results] [--quick] [--nodes] [--only SECTION ...]

FOLDER holds a recording: volume.mha, frames.igs.mha and mask.png; without it, a patient is simulated. Writes speed.md,
to be read, and speed.json, with every number, the machine and the versions. As on a cart, registration knows how sure
the tracked pose is, with the arm as it is shipped. Sections: frame, tracking, lost,
evaluation, scaling, floor, preparing; and with --nodes, which needs ROS, nodes. All of it takes about a quarter of an
hour, --quick less than two minutes on small data, whose numbers say little.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring import evaluation, floor, lost, nodes, one_frame, preparing, scaling, tracking
from measuring.report import Section, commit, write
from measuring.subject import Subject, recorded, simulated

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.machine import processor

PACKAGES = ("numpy", "scipy", "numba", "SimpleITK", "torch", "opencv-python-headless")
BAD_INPUT, INTERRUPTED = 2, 130
SEED = 1

SECTIONS: dict[str, Callable[[Subject, Path | None, bool], Section]] = {
    "frame": lambda subject, _, quick: one_frame.measure(
        subject, 2.0 if quick else 0.5, 2 if quick else len(subject.frames)
    ),
    "tracking": lambda subject, _, quick: tracking.measure(subject, 1.5 if quick else 20.0, 1 if quick else 2),
    "lost": lambda subject, _, quick: lost.measure(subject, 1 if quick else 8),
    "evaluation": lambda subject, _, quick: evaluation.measure(subject, 3 if quick else 15, 2 if quick else 7),
    "scaling": lambda subject, _, quick: scaling.measure(
        subject, 2 if quick else 15, (4.0, 2.0) if quick else scaling.SPACINGS
    ),
    "floor": lambda subject, _, quick: floor.measure(subject, 3 if quick else 15),
    "preparing": lambda subject, _, quick: preparing.measure(subject, 1 if quick else 3, not quick, not quick),
    "nodes": lambda _, data, quick: nodes.measure(data, 5.0 if quick else 30.0),
}
OPTIONAL = "nodes"


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's if None); returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a recording (a simulated patient)")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent / "results", help="folder (benchmarks/results)"
    )
    parser.add_argument("--quick", action="store_true", help="small data and few repetitions")
    parser.add_argument("--nodes", action="store_true", help="the nodes as well; needs ROS")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="no other sections than these")
    try:
        run(parser.parse_args(argv))
    except (InputError, OSError) as error:
        print(f"speed: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("speed: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def run(arguments: argparse.Namespace) -> None:
    """Measure section by section, and write what there is after each."""
    chosen = arguments.only or [name for name in SECTIONS if name != OPTIONAL or arguments.nodes]
    for name in chosen:
        if name not in SECTIONS:
            raise InputError(f"--only: {name!r} is none of {', '.join(SECTIONS)}")
    data, quick = arguments.data, arguments.quick
    if data is not None:
        subject = recorded(data)
    else:
        subject = simulated(SEED, 1.0, 2.0, 24, 4) if quick else simulated(SEED, 0.38, 0.8, 96, 14)
    facts = {
        "command": " ".join(["python benchmarks/speed.py", *options(arguments)]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "quick": quick,
        "machine": processor(),
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "subject": subject.name,
    }
    done: dict[str, Section] = {}
    for name in chosen:
        done[name] = SECTIONS[name](subject, data, quick)
        print(f"\n{done[name].to_markdown()}\n", flush=True)
        write(arguments.output, facts, done)
    print(f"{arguments.output / 'speed.md'}: the whole page")


def options(arguments: argparse.Namespace) -> list[str]:
    """The command line again, as far as it matters to the numbers."""
    words = ["--data", arguments.data.name] if arguments.data else []
    words += [f"--{name}" for name in ("quick", "nodes") if getattr(arguments, name)]
    return [*words, "--only", *arguments.only] if arguments.only else words


if __name__ == "__main__":
    sys.exit(main())
