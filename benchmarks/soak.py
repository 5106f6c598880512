"""The cart for half an hour: does it grow, is every image accounted for, does it stay as fast?

    python benchmarks/soak.py --data FOLDER [--minutes 30] [--output benchmarks/results] [--rate 30] [--seed 1]

FOLDER holds a recording: volume.mha, frames.igs.mha and mask.png. Its frames are shown at `rate` a second as if the
liver breathed by 15 mm, and the arm says 100 times a second where it is. All nodes run in one process, as they are
launched; another one listens. Memory is sampled every five seconds; its slope is taken after the first fifth, five
minutes at most. Writes soak.json and soak.png. Needs ROS. Exit status 1: an image has no status, or several, or memory
grows by 1 MB an hour or more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import rclpy
from geometry_msgs.msg import PointStamped
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from measuring.processes import Usage, usage
from measuring.report import commit, plain
from rclpy.node import Node
from tqdm import tqdm
from trust.cart import program, running, write_parameters
from trust.growth import slope
from trust.judging import account

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.machine import processor
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.running.spinning import Spinner
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds
from deeprs2v_ros.registration.supervisor import State

BAD_INPUT, INTERRUPTED = 2, 130
START = 400.0  # s until the first image is tracked; the first run of all compiles meanwhile
PERIOD = 5.0  # s between samples
ANSWERED = 2.0  # s that the last images have to be answered
WARM_UP, LONGEST_WARM_UP = 0.2, 300.0  # share of the time, and s at most, that do not count for the slope
STRETCH = 300.0  # s over which latencies are summarised
GROWTH = 1.0  # MB an hour that memory may grow


@dataclass(frozen=True)
class Heard:
    """A status ``at`` some time (s): what became of the image with ``stamp``, and its latency in s."""

    at: float
    stamp: int
    state: str
    reason: str
    latency: float


class Listener(Node):
    """Keeps the stamps of all ``images``, which their source says with the truth about each, and all statuses."""

    def __init__(self, **options: Any) -> None:
        super().__init__("soak", **options)
        self.images: list[int] = []
        self.heard: list[Heard] = []
        self.create_subscription(PointStamped, "simulation/target", self._on_image, qos.STATUS)
        self.create_subscription(RegistrationStatus, "registration/status", self._on_status, qos.STATUS)

    def _on_image(self, target: PointStamped) -> None:
        self.images.append(nanoseconds(target.header.stamp))

    def _on_status(self, status: RegistrationStatus) -> None:
        latency = status.latency_published if status.accepted else math.nan
        stamp = nanoseconds(status.header.stamp)
        self.heard.append(Heard(time.monotonic(), stamp, State(status.state).name, status.reason, latency))


def soak(minutes: float, process: subprocess.Popen[bytes], listener: Listener) -> list[tuple[float, Usage]]:
    """Wait and sample; the samples with their times in s."""
    began = time.monotonic()
    samples = []
    with tqdm(total=60.0 * minutes, desc="soak", unit="s", bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s") as bar:
        while (elapsed := time.monotonic() - began) < 60.0 * minutes:
            if process.poll() is not None:
                raise InputError(f"the cart has ended with status {process.returncode}")
            samples.append((elapsed, usage(process.pid)))
            bar.update(elapsed - bar.n)
            time.sleep(max(0.0, began + PERIOD * len(samples) - time.monotonic()))
    return samples


def summary(listener: Listener, samples: Sequence[tuple[float, Usage]], began: float, last: int) -> dict[str, Any]:
    """The numbers of a run that ``began`` then (s), whose ``last`` image (ns) was the last one to be answered."""
    first = listener.heard[0].stamp
    heard = [each for each in listener.heard if each.at >= began]
    missing, repeated = account(
        [stamp for stamp in listener.images if first <= stamp <= last], [each.stamp for each in listener.heard]
    )
    times = np.array([at for at, _ in samples])
    memory = [each.memory for _, each in samples]
    warm = times >= min(WARM_UP * times[-1], LONGEST_WARM_UP)
    growth = slope(times[warm], np.array(memory)[warm])
    return {
        "seconds": float(times[-1]),
        "images": sum(first <= stamp <= last for stamp in listener.images),
        "missing": missing,
        "repeated": repeated,
        "states": dict(Counter(each.state for each in heard)),
        "reasons": dict(Counter(each.reason.partition(" ")[0] for each in heard if each.reason)),
        "memory_mb": {"first": memory[0], "warm": float(np.array(memory)[warm][0]), "last": memory[-1]},
        "growth_mb_per_hour": asdict(growth),
        "cpu_percent_of_a_core": 100.0 * (samples[-1][1].cpu - samples[0][1].cpu) / float(times[-1]),
        "threads": [samples[0][1].threads, samples[-1][1].threads],
        "files": [samples[0][1].files, samples[-1][1].files],
        "latency_ms": _latencies(heard, began),
    }


def _latencies(heard: Sequence[Heard], began: float) -> list[dict[str, float]]:
    """Of accepted images, stretch by stretch."""
    rows = []
    for start in np.arange(0.0, heard[-1].at - began, STRETCH):
        within = [e.latency for e in heard if start <= e.at - began < start + STRETCH and not math.isnan(e.latency)]
        if within:
            p50, p95, p99, most = 1e3 * np.quantile(within, [0.5, 0.95, 0.99, 1.0])
            rows.append(
                {"from_s": start, "accepted": len(within), "p50": p50, "p95": p95, "p99": p99, "max": most}
            )  # fmt: skip
    return rows


def draw(samples: Sequence[tuple[float, Usage]], heard: Sequence[Heard], began: float, title: str, path: Path) -> None:
    """Write a picture: memory, CPU and latency over time."""
    minutes = [at / 60.0 for at, _ in samples]
    figure = Figure(figsize=(10.0, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    memory, cpu, latency = figure.subplots(3, 1, sharex=True)
    memory.plot(minutes, [each.memory for _, each in samples])
    memory.set_ylabel("resident memory, MB")
    used = np.array([each.cpu for _, each in samples])
    cpu.plot(minutes[1:], 100.0 * np.diff(used) / np.diff([at for at, _ in samples]))
    cpu.set_ylabel("CPU, % of a core")
    accepted = [each for each in heard if not math.isnan(each.latency)]
    latency.plot(
        [(each.at - began) / 60.0 for each in accepted], [1e3 * each.latency for each in accepted], ".", markersize=1
    )
    latency.set_yscale("log")
    latency.set_ylabel("latency of accepted images, ms")
    latency.set_xlabel("minutes")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=80)


def run(arguments: argparse.Namespace) -> bool:
    """Soak, write, print; whether all is as it should be. Raises InputError if nothing is tracked."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        parameters = write_parameters(arguments.data, Path(folder), arguments.rate, arguments.seed)
        rclpy.init()
        ending.callback(rclpy.try_shutdown)
        spinner = Spinner()
        ending.callback(spinner.end)
        listener = spinner.add(Listener)
        log = Path(folder) / "log.txt"
        process = ending.enter_context(running({"cart": program("composed.cart", parameters)}, log))["cart"]
        until = time.monotonic() + START
        while not any(each.state == State.TRACKING.name for each in listener.heard):
            if time.monotonic() > until or process.poll() is not None:
                raise InputError(f"nothing is tracked\n{log.read_text()}")
            time.sleep(0.5)
        began = time.monotonic()
        samples = soak(arguments.minutes, process, listener)
        last = listener.images[-1]
        time.sleep(ANSWERED)
        spinner.check()
        numbers = summary(listener, samples, began, last)
    facts = {
        "command": f"python benchmarks/soak.py --data {arguments.data.name} --minutes {arguments.minutes:g} "
        f"--rate {arguments.rate:g} --seed {arguments.seed}",
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "machine": processor(),
        "load": os.getloadavg()[0],
    }
    text = json.dumps(plain({**facts, **numbers}), indent=1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with written_whole(arguments.output / "soak.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    growth = numbers["growth_mb_per_hour"]
    title = (
        f"{numbers['images']} images, {numbers['missing']} without a status, {numbers['repeated']} with several; "
        f"memory {growth['value']:+.2f} MB an hour ({growth['low']:+.2f} to {growth['high']:+.2f})"
    )
    draw(samples, listener.heard, began, title, arguments.output / "soak.png")
    print(text)
    return not (numbers["missing"] or numbers["repeated"]) and growth["value"] < GROWTH


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's if None); returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a recording")
    parser.add_argument("--minutes", type=float, default=30.0, help="for how long (30)")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent / "results", help="folder (benchmarks/results)"
    )
    parser.add_argument("--rate", type=float, default=30.0, help="images per second (30)")
    parser.add_argument("--seed", type=int, default=1, help="of the breathing (1)")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the cart is stopped as well
    try:
        return 0 if run(arguments) else 1
    except InputError as error:
        print(f"soak: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("soak: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
