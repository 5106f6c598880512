"""What the pictures cost the guidance: image to TF without anybody who looks, with all pictures, and without again.

    python benchmarks/view.py --data FOLDER [--seconds 40] [--output benchmarks/results] [--rate 10] [--seed 1]

FOLDER holds a recording: volume.mha, frames.igs.mha and mask.png. Its frames are shown at `rate` a second as if the
liver breathed by 15 mm. All nodes run in one process, as they are launched, and guidance_view in its own; its MRI is
the volume itself. Writes view.md, to be read, and view.json. Needs ROS. Exit status 1: the median or the 95 % bound
grows by more than 5 ms, or pictures come less often than 9 of 10 images.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import yaml
from measuring.report import Table, commit, plain
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from sensor_msgs.msg import Image
from trust.cart import program, running, write_parameters
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.machine import processor
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.composed.composition import ros_arguments
from deeprs2v_ros.nodes.running.program import initialise
from deeprs2v_ros.nodes.running.spinning import Spinner
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds
from deeprs2v_ros.view.pictures import NAMES

BAD_INPUT, INTERRUPTED = 2, 130
START = 400.0  # s until the first image is tracked; the first run of all compiles meanwhile
SETTLED = 3.0  # s before anything is measured
ALLOWED = 5.0  # ms
SHARE = 0.9


class Onlooker(Node):
    """Hears statuses; and, while it looks, every picture with its delay."""

    def __init__(self, **options: Any) -> None:
        super().__init__("onlooker", **options)
        self.latencies: list[float] = []
        self.delays: dict[str, list[float]] = {}
        self._looking: list[Any] = []
        self.create_subscription(RegistrationStatus, "registration/status", self._on_status, qos.STATUS)

    def look(self) -> None:
        """Subscribe to everything."""
        kinds = {f"view/{name}": Image for name in NAMES} | {"view/plane": OccupancyGrid, "view/markers": MarkerArray}
        for topic, kind in kinds.items():
            found = self.delays.setdefault(topic, [])
            self._looking.append(self.create_subscription(kind, topic, lambda m, f=found: self._on_view(m, f), 5))

    def look_away(self) -> None:
        """End that."""
        while self._looking:
            self.destroy_subscription(self._looking.pop())

    def _on_status(self, status: RegistrationStatus) -> None:
        if status.accepted:
            self.latencies.append(1e3 * status.latency_published)

    def _on_view(self, message: Any, found: list[float]) -> None:
        stamped = hasattr(message, "header")
        found.append((time.time_ns() - nanoseconds(message.header.stamp)) / 1e6 if stamped else np.nan)


def measure(data: Path, seconds: float, rate: float, seed: int) -> dict[str, Any]:
    """Latencies in ms of each phase, and the delays of pictures. Raises InputError if nothing is tracked."""
    spinner = Spinner()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = write_parameters(data, folder, rate, seed)
        initialise(ros_arguments(str(parameters)))
        onlooker = spinner.add(Onlooker)
        view = folder / "view.yaml"
        view.write_text(_with_mri(parameters, data / "volume.mha"), encoding="utf-8")
        cart = {"cart": program("composed.cart", parameters)}
        look = {"view": program("guidance_view", view)}
        found: dict[str, Any] = {}
        with running(cart, folder / "log.txt"):
            _wait(onlooker, START)
            for phase in ("before", "looked at", "after"):
                looked_at = phase == "looked at"
                with running(look, folder / "view.txt") if looked_at else nullcontext():
                    if looked_at:
                        onlooker.look()
                    time.sleep(SETTLED + 5.0 * looked_at)
                    onlooker.latencies.clear()
                    for delays in onlooker.delays.values():
                        delays.clear()
                    time.sleep(seconds)
                    found[phase] = list(onlooker.latencies)
                    if looked_at:
                        found["pictures"] = {topic: list(delays) for topic, delays in onlooker.delays.items()}
                        onlooker.look_away()
        spinner.end()
    return found


def _with_mri(parameters: Path, mri: Path) -> str:
    values = yaml.safe_load(parameters.read_text(encoding="utf-8"))
    values["/**/guidance_view"] = {"ros__parameters": {"mri.file": str(mri.resolve())}}
    return yaml.safe_dump(values)


def _wait(onlooker: Onlooker, patience: float) -> None:
    until = time.monotonic() + patience
    while len(onlooker.latencies) < 20:
        if time.monotonic() > until:
            raise InputError("the cart does not track")
        time.sleep(0.1)


def report(found: dict[str, Any], seconds: float, rate: float) -> tuple[dict[str, Any], list[str]]:
    """The numbers, and what is not as it has to be."""
    phases = {
        name: dict(zip(("median", "p95"), np.percentile(found[name], [50, 95]).tolist(), strict=True))
        for name in ("before", "looked at", "after")
    }
    added = {
        key: phases["looked at"][key] - 0.5 * (phases["before"][key] + phases["after"][key])
        for key in ("median", "p95")
    }
    pictures = {
        topic: {"per_second": len(delays) / seconds, "median_delay": float(np.nanmedian(delays or [np.nan]))}
        for topic, delays in found["pictures"].items()
    }
    complaints = [f"the {key} grows by {value:.1f} ms" for key, value in added.items() if value > ALLOWED]
    complaints += [
        f"{topic}: {each['per_second']:.1f} a second"
        for topic, each in pictures.items()
        if each["per_second"] < SHARE * rate
    ]
    return {"image_to_tf_ms": phases, "added_ms": added, "pictures": pictures}, complaints


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each of the three phases (default 40)")
    parser.add_argument("--rate", type=float, default=10.0, help="images per second (default 10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(arguments)
    try:
        numbers, complaints = report(
            measure(given.data, given.seconds, given.rate, given.seed), given.seconds, given.rate
        )
    except InputError as error:
        print(f"view: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    command = f"python benchmarks/view.py --data {given.data.name} --seconds {given.seconds:g} --rate {given.rate:g}"
    numbers |= {"command": command, "commit": commit(), "machine": processor()}
    given.output.mkdir(parents=True, exist_ok=True)
    with written_whole(given.output / "view.json") as path:
        path.write_text(json.dumps(plain(numbers), indent=1), encoding="utf-8")
    rows = [(name, f"{each['median']:.1f}", f"{each['p95']:.1f}") for name, each in numbers["image_to_tf_ms"].items()]
    rows.append(("added", f"{numbers['added_ms']['median']:.1f}", f"{numbers['added_ms']['p95']:.1f}"))
    text = f"# What the pictures cost\n\n`{command}`, commit {numbers['commit']}; {numbers['machine']}.\n\n"
    text += Table(("image to TF, ms", "median", "95 % within"), rows).to_markdown() + "\n\n"
    rows = [
        (topic, f"{each['per_second']:.1f}", f"{each['median_delay']:.0f}")
        for topic, each in numbers["pictures"].items()
    ]
    text += Table(("topic", "a second", "median delay, ms"), rows).to_markdown() + "\n"
    with written_whole(given.output / "view.md") as path:
        path.write_text(text, encoding="utf-8")
    print(text, *complaints, sep="\n")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
