"""What the nodes cost while nothing is to be done but to follow the arm: no images, no patient, a hand that moves.

    python benchmarks/idle.py [--seconds 20] [--rate 100] [--settle 15] [--way composed]

The cart runs once in one process (`cart`) and once as separate programs, without ultrasound_source. Printed, as
Markdown: CPU time per wall time of every process and of its busiest threads, and how many transforms are on TF. They
are counted before, not while CPU time is taken, since a further listener costs the sender something. Needs ROS.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from tf2_msgs.msg import TFMessage

from deeprs2v_ros.imaging.volume import Volume, write_volume
from deeprs2v_ros.resources import resource

NODES = ("arm_encoders", "arm_kinematics", "registration", "target_monitor", "volume_server")
LEFT_OUT = "ultrasound_source"
TICK = os.sysconf("SC_CLK_TCK")
COUNTING = 5.0  # s
BUSY = 0.5  # % of a core from which a thread is listed
PATIENCE = 30.0  # s

Threads = dict[tuple[int, int, str], float]
"""CPU time (s) by process, thread, and the thread's name."""


def write_parameters(folder: Path, rate: float) -> Path:
    """The simulator's parameters with a small volume from a file and another rate of the encoders."""
    volume = folder / "volume.mha"
    write_volume(volume, Volume(np.full((40, 50, 60), 99, np.uint8), np.full(3, 2.0), np.zeros(3), np.eye(3)))
    content = yaml.safe_load(resource("config/simulator.yaml").read_text(encoding="utf-8"))
    content["/**/arm_encoders"]["ros__parameters"]["rate"] = rate
    content["/**/volume_server"]["ros__parameters"].update({"source": "file", "volume": str(volume)})
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def commands(parameters: Path) -> dict[str, dict[str, list[str]]]:
    """For every way to run the nodes, its programs by name."""
    ros = ["--ros-args", "--params-file", str(parameters), "--log-level", "WARN"]
    start = [sys.executable, "-m"]
    return {
        "composed": {"cart": [*start, "deeprs2v_ros.nodes.composed.cart", "--without", LEFT_OUT, *ros]},
        "separate": {name: [*start, f"deeprs2v_ros.nodes.{name}", *ros] for name in NODES},
    }


@contextmanager
def running(programs: dict[str, list[str]]) -> Iterator[dict[str, subprocess.Popen]]:
    """Start them, and stop them as Ctrl-C would."""
    processes = {name: subprocess.Popen(command, start_new_session=True) for name, command in programs.items()}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        for name, process in processes.items():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            if process.wait() != 0:
                print(f"{name} ended with status {process.returncode}", file=sys.stderr)


def cpu_times(pids: Sequence[int]) -> Threads:
    """What every thread has used since it began."""
    times: Threads = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            head, _, tail = (task / "stat").read_text().rpartition(")")
            fields = tail.split()
            times[pid, int(task.name), head.partition("(")[2]] = (int(fields[11]) + int(fields[12])) / TICK
    return times


class Count:
    """Transforms by topic, and messages, while it listens."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.transforms: Counter[str] = Counter()
        self._node = Node("counter")
        for topic in ("/tf", "/tf_static"):
            self._node.create_subscription(TFMessage, topic, lambda message, topic=topic: self._on(topic, message), 100)

    def _on(self, topic: str, message: TFMessage) -> None:
        self.messages[topic] += 1
        self.transforms[topic] += len(message.transforms)

    def listen(self, seconds: float) -> None:
        """Count for a while; twice as long at most until the first message comes."""
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        until = time.monotonic() + PATIENCE
        while not self.messages["/tf"] and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        self.messages.clear()
        self.transforms.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        self._node.destroy_node()


def measure(way: str, programs: dict[str, list[str]], settle: float, seconds: float) -> None:
    """Run the programs and print what they cost."""
    with running(programs) as processes:
        time.sleep(settle)
        count = Count()
        count.listen(COUNTING)
        time.sleep(1.0)
        names = {process.pid: name for name, process in processes.items()}
        began, before = time.monotonic(), cpu_times(list(names))
        time.sleep(seconds)
        after, elapsed = cpu_times(list(names)), time.monotonic() - began
    shares = {key: 100.0 * (used - before.get(key, 0.0)) / elapsed for key, used in after.items()}
    print(f"| {way} | **all** | | **{sum(shares.values()):.1f}** |")
    for pid, name in names.items():
        own = {key: share for key, share in shares.items() if key[0] == pid}
        print(f"| {way} | {name} | {len(own)} threads | {sum(own.values()):.1f} |")
        for (_, thread, title), share in sorted(own.items(), key=lambda item: -item[1]):
            if share >= BUSY:
                print(f"| {way} | {name} | {title} {'(main)' if thread == pid else ''} | {share:.1f} |")
    for topic, messages in count.messages.items():
        each = count.transforms[topic] / messages
        print(f"| {way} | {topic}: {messages / COUNTING:.1f} messages a second, {each:.1f} transforms each | | |")


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="CPU time of all nodes while the arm moves and no images come.")
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long CPU time is taken")
    parser.add_argument("--settle", type=float, default=15.0, help="seconds from the start until then")
    parser.add_argument("--rate", type=float, default=100.0, help="samples of the encoders per second")
    parser.add_argument("--way", choices=("composed", "separate"), help="only this one")
    given = parser.parse_args()
    os.environ.update(ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", ROS_DOMAIN_ID=str(1 + os.getpid() % 100))
    rclpy.init()
    print("| nodes | process | thread | % of a core |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for way, programs in commands(write_parameters(Path(folder), given.rate)).items():
            if given.way in (None, way):
                measure(way, programs, given.settle, given.seconds)
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
