"""Faults are done to the running cart, one after the other: is anything wrong shown as right, and is it said in time?

    python benchmarks/faults.py --data FOLDER [--output benchmarks/results] [--rate 15] [--seed 1] [--only WORD ...]

FOLDER holds a recording: volume.mha, frames.igs.mha and mask.png. Its frames are shown at `rate` a second as if the
liver breathed by 15 mm; at 30 a second, the steps between them would be faster than the arm can follow. All nodes run
as they are launched in one process, the images' source in another one; between them stands a node that does the faults,
each when the target moves fastest, with good data before and after. Writes faults.md, to be read, faults.json and
faults.png. Needs ROS, and about a quarter of an hour. Exit status 1: some row is not as it has to be.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import cv2
import numpy as np
import rclpy
from measuring.report import Table, commit, plain
from tqdm import tqdm
from trust.cart import FROZEN_DISTANCE, program, running, write_parameters
from trust.drawing import draw
from trust.faults import FAULTS, Fault, Place
from trust.injector import Injector
from trust.judging import TRACKING, Course, Verdict, judge, state_at
from trust.listener import Listener
from trust.truth import SECOND, Truth

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.machine import processor
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.imaging.volume import Volume, read_volume, write_volume
from deeprs2v_ros.nodes.composed.composition import ros_arguments
from deeprs2v_ros.nodes.running.spinning import Spinner
from deeprs2v_ros.nodes.sources.scene import declare_cart, declare_images, nominal_view
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.paths import HandHeldPath
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator

BAD_INPUT, INTERRUPTED = 2, 130
START = 400.0  # s until the first image is tracked; the first run of all compiles meanwhile
SETTLED = 1.0  # s of TRACKING without a break, after which a fault may begin
AFTER = 3.0  # s of good data after a fault
UNANSWERED = 1.0  # s that an image has to be answered
GIVEN_UP = 30.0  # s after which a cart that does not track is started anew
ANOTHER_PATIENT = 77


class Bench:
    """The cart, what stands between it and its sources, and who listens."""

    def __init__(self, data: Path, folder: Path, parameters: Path) -> None:
        self._folder, self._parameters = folder, parameters
        self._volume = str((data / "volume.mha").resolve())
        self._other, self._corrupt = folder / "other.mha", folder / "corrupt.mha"
        _write_other_volumes(Path(self._volume), self._other, self._corrupt)
        self._processes = ExitStack()
        self._spinner = Spinner()
        self.injector = self._spinner.add(Injector)
        images = declare_images(self.injector)
        self._cart = declare_cart(self.injector, images)
        self._others = _another_patient(images.shape)
        self._truth = Truth(self._cart)
        self.listener = self._spinner.add(lambda: Listener(self._truth))

    def start(self) -> None:
        """Start the cart, anew if it runs already, and wait until it tracks. Raises InputError if it does not."""
        self.end_processes()
        programs = {
            "cart": program(
                "composed.cart", self._parameters, ["--without", "ultrasound_source"],
                arm_encoders="joint_states:=joint_states_raw",
            ),
            "source": program("ultrasound_source", self._parameters, ultrasound_source="us/image:=us/image_raw"),
        }  # fmt: skip
        self._running = self._processes.enter_context(running(programs, self._folder / "log.txt"))
        if not self.settle(START):
            raise InputError(f"the cart does not track: {self._doing()}\n{(self._folder / 'log.txt').read_text()}")

    def end_processes(self) -> None:
        """Stop the cart."""
        self._processes.close()

    def end(self) -> None:
        """Stop everything."""
        self.end_processes()
        self._spinner.end()

    def settle(self, patience: float) -> bool:
        """Wait until it has been TRACKING for a while; whether it came to that."""
        return _wait(self._steady, patience)

    def run(self, fault: Fault) -> Course:
        """Do one fault when the target moves fastest, and hear what is said."""
        injector, listener = self.injector, self.listener
        listener.forget()
        injector.sent.clear()
        place = Place(
            self._running["source"].pid, self._volume, str(self._corrupt), str(self._other),
            self._cart.base_from_volume, self._others,
        )  # fmt: skip
        begin = self._truth.fastest(time.time_ns() + round(SETTLED * SECOND))
        time.sleep((begin - time.time_ns()) / SECOND)
        began = injector.good_joints if fault.images is Fault.images else injector.good_image
        with fault.around(place):
            injector.begin(fault, place)
            time.sleep(fault.seconds)
        over = time.time()
        injector.end()
        _wait(lambda: min(injector.good_image, injector.good_joints) > over, AFTER)
        ended = max(injector.good_image, over)
        time.sleep(AFTER)
        _wait(lambda: state_at(math.inf, listener.said) == TRACKING, max(fault.expected.returning - AFTER, 0.0))
        until = time.time() - UNANSWERED
        sent = [stamp for at, stamp in list(injector.sent) if at < until]
        return Course(began, ended, sent, list(listener.said), list(listener.now), list(listener.predicted))

    def _steady(self) -> bool:
        self._spinner.check()
        since = time.time() - SETTLED
        late = [each for each in self.listener.said if each.at > since]
        return len(late) > 3 and all(each.state == TRACKING for each in late)

    def _doing(self) -> str:
        said = self.listener.said
        return f"{said[-1].state} {said[-1].reason}" if said else "no status"


def _wait(condition: Callable[[], bool], patience: float) -> bool:
    """Wait for a condition; whether it came to be."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _write_other_volumes(volume: Path, other: Path, corrupt: Path) -> None:
    """One of another anatomy, the mirror image, and a file that ends too early."""
    right = read_volume(volume)
    write_volume(other, Volume(right.array[:, :, ::-1].copy(), right.spacing, right.origin, right.direction))
    data = volume.read_bytes()
    corrupt.write_bytes(data[: len(data) // 2])


def _another_patient(shape: tuple[int, int]) -> np.ndarray:
    """Images (N, rows, columns) of somebody else."""
    probe = CurvilinearProbe()
    simulator = UltrasoundSimulator(make_liver(ANOTHER_PATIENT), probe, Breathing(ANOTHER_PATIENT))
    path = HandHeldPath(probe, nominal_view(simulator), ANOTHER_PATIENT)
    return np.stack([cv2.resize(simulator.image(path.pose(t), t), shape[::-1]) for t in np.arange(0.0, 3.0, 0.25)])


def table(rows: Sequence[tuple[str, Verdict]]) -> str:
    """The rows as Markdown; what is not as it has to be is said in the last column."""
    columns = (
        "fault", "worst, mm", "in the image, mm", "wrong", "predicted, mm", "now, mm", "left, s", "returned, s",
        "no status", "twice", "states", "complaints",
    )  # fmt: skip
    cells = [
        (
            name, *(_number(value) for value in (verdict.worst, verdict.seen)), str(verdict.wrong),
            *(_number(value) for value in (verdict.predicted, verdict.now, verdict.left, verdict.returned)),
            str(verdict.missing), str(verdict.repeated), verdict.states.lower(),
            f"**{'; '.join(verdict.complaints)}**" if verdict.complaints else "",
        )
        for name, verdict in rows
    ]  # fmt: skip
    return Table(columns, cells).to_markdown()


def _number(value: float) -> str:
    return "-" if math.isnan(value) else "never" if math.isinf(value) else f"{value:.2f}"


def write(folder: Path, facts: dict, rows: Sequence[tuple[str, Course, Verdict]]) -> None:
    """Write faults.md and faults.json into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = [(name, verdict) for name, _, verdict in rows]
    bad = sum(bool(verdict.complaints) for _, verdict in verdicts)
    text = (
        f"# Faults\n\n`{facts['command']}`, {facts['date']}, commit {facts['commit']}; {facts['machine']}, load "
        f"{facts['load']:.1f}.\n\n"
        f"{bad} of {len(rows)} rows are not as they have to be.\n\nErrors are those at the target. Worst and wrong "
        "(over 5 mm): accepted images while TRACKING, against where it truly was at the image's stamp, in base_link "
        "and relative to the image. Predicted and now: what TF says, asked 50 times a second while TRACKING or "
        "HOLDING, against where it is then. Left: from the last good datum until a subscriber hears of another state "
        "than TRACKING (at most 0.7 s, where nothing good comes); returned: from the first good datum to TRACKING (at "
        "most 1 s; 10 s to load a volume).\n\n"
    )
    numbers = {name: asdict(verdict) for name, verdict in verdicts}
    with written_whole(folder / "faults.md") as temporary:
        temporary.write_text(text + table(verdicts) + "\n", encoding="utf-8")
    with written_whole(folder / "faults.json") as temporary:
        temporary.write_text(json.dumps(plain({**facts, "faults": numbers}), indent=1) + "\n", encoding="utf-8")


def run(arguments: argparse.Namespace) -> int:
    """Do the faults; how many rows are bad."""
    chosen = [each for each in FAULTS if not arguments.only or any(word in each.name for word in arguments.only)]
    if not chosen:
        raise InputError(f"--only: no fault's name has {' or '.join(arguments.only)} in it")
    facts = {
        "command": f"python benchmarks/faults.py --data {arguments.data.name} --rate {arguments.rate:g} "
        f"--seed {arguments.seed}",
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "machine": processor(),
        "load": os.getloadavg()[0],
    }
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rows: list[tuple[str, Course, Verdict]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        parameters = write_parameters(arguments.data, Path(folder), arguments.rate, arguments.seed, FROZEN_DISTANCE)
        rclpy.init(args=ros_arguments(str(parameters)))
        ending.callback(rclpy.try_shutdown)
        bench = Bench(arguments.data, Path(folder), parameters)
        ending.callback(bench.end)
        bench.start()
        for fault in tqdm(chosen, desc="faults", unit="fault"):
            if not bench.settle(GIVEN_UP):
                tqdm.write("does not track any more: started anew")
                bench.start()
            course = bench.run(fault)
            verdict = judge(course, fault.expected)
            rows.append((fault.name, course, verdict))
            tqdm.write(f"{fault.name}: {'; '.join(verdict.complaints) or 'as it has to be'}")
            write(arguments.output, facts, rows)
        draw(rows, arguments.output / "faults.png")
    print(table([(name, verdict) for name, _, verdict in rows]))
    return sum(bool(verdict.complaints) for *_, verdict in rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's if None); returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a recording")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent / "results", help="folder (benchmarks/results)"
    )
    parser.add_argument("--rate", type=float, default=15.0, help="images per second (15)")
    parser.add_argument("--seed", type=int, default=1, help="of the breathing (1)")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="faults with one of these in their names")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the cart is stopped as well
    try:
        return 1 if run(parser.parse_args(argv)) else 0
    except InputError as error:
        print(f"faults: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("faults: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
