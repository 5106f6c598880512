"""The encoders' node on a bad line for ten minutes: is anything published that was not sent, is every fault counted?

    python benchmarks/encoder_soak.py [--seconds 600] [--rate 500] [--seed 0]

The node runs in a process of its own at the other end of a pseudo-terminal. The board delivers bursts of 16 ms. One
line in fifty is damaged, one sample in a hundred is not plausible, and every five seconds the line falls silent, the
cable is pulled, the board is reset, or the node's process is stopped for a while. Needs ROS. Exit status 0: nothing
wrong was published and every sample is accounted for.
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
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from encoder_listener import ARM, NAMES, REST, SECOND, Listener, counts_of
from measuring.processes import usage

from deeprs2v_ros.arm.line_protocol import LineFormat
from deeprs2v_ros.simulation.encoder_board import BadLine, EncoderBoard, PseudoPort

BURST = 16_000_000  # ns
DRIFT = 5e-5  # of the board's clock
BAD = {"nan": ("j3", None), "limits": ("j2", 9 << 8), "speed": ("j1", REST["j1"] + 300)}
EVENTS, PAUSES = ("stall", "stopped", "reconnect", "reset"), {"stall": 1.0, "stopped": 0.5, "reconnect": 1.0}
BETWEEN_EVENTS = 5.0  # s
PATIENCE = 20.0  # s


class Soak:
    """The board, the line and the node's process ``node``."""

    def __init__(self, rate: float, seed: int, port: PseudoPort, listener: Listener, node: subprocess.Popen) -> None:
        self.injected: Counter[str] = Counter()
        self.damage = BadLine(0.02, seed)
        bits = [ARM.encoders.encoders[name].bits for name in NAMES]
        self.board = EncoderBoard(LineFormat(bits, "crc16"), drift=DRIFT)
        self._period = round(SECOND / rate)
        self._rng = np.random.default_rng(seed + 1)
        self._port, self._listener, self._node = port, listener, node
        self._next = time.time_ns()
        self._line_is_open = False

    def _start_clock(self) -> None:
        self._listener.starts.append(self._next)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Raise TimeoutError if it does not come to pass."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline or self._node.poll() is not None:
                raise TimeoutError(f"{what} did not happen")
            time.sleep(0.01)

    def begin(self) -> None:
        """Plug in, and start the board when the port is open."""
        self.wait_until(lambda: "ttyUSB0" in self._listener.trouble, "a report of the node")
        self._port.plug()
        self.stay_silent()
        self.wait_until(lambda: "no sound line" in self._listener.trouble, "the opening of the port")
        self._port.write(b"\n")
        self._next = time.time_ns()
        self._start_clock()
        self.board.start(self._next)

    def stay_silent(self) -> None:
        """For long enough to be found, to count as a stall, and to be reported."""
        self.injected["stall"] += 1
        time.sleep(4.0)

    def run(self, seconds: float, *, clean: bool = False, silent: bool = False) -> None:
        """Take and send samples."""
        for _ in range(round(seconds * SECOND / BURST)):
            data = b""
            for _ in range(BURST // self._period):
                data += self._sample(clean)
            time.sleep(max(0.0, (self._next - self._period - time.time_ns()) / SECOND))
            if self._node.poll() is not None:
                raise RuntimeError("the node has ended")
            if not silent:
                self._port.write(data)

    def _sample(self, clean: bool) -> bytes:
        number, taken = len(self._listener.times), self._next
        counts = counts_of(number)
        if not clean and not self._line_is_open and self._rng.random() < 0.01:
            kind = str(self._rng.choice(list(BAD)))
            joint, count = BAD[kind]
            counts[joint] = count
            self._listener.bad.add(number)
            self.injected[kind] += 1
        self._listener.times.append(taken)
        line = self.board.line(taken, [counts[name] for name in NAMES])
        self._next += self._period
        arrived = line if clean or number in self._listener.bad else self.damage.carry(line)
        self._line_is_open = arrived != b"" and not arrived.endswith(b"\n")  # the next line will be lost with this one
        return arrived

    def event(self, kind: str) -> None:
        """Something happens to board, cable or computer. Before and after, the line is good for a moment."""
        self.injected[kind] += 1
        self.run(0.2, clean=True)
        if kind == "stall":
            self.run(PAUSES[kind], clean=True, silent=True)
        elif kind == "stopped":
            self._node.send_signal(signal.SIGSTOP)
            self.run(PAUSES[kind], clean=True)
            self._node.send_signal(signal.SIGCONT)
        elif kind == "reset":
            self.board.reset(self._next)
            self._start_clock()
        else:
            time.sleep(0.1)
            self._port.pull()
            self.run(PAUSES[kind], clean=True, silent=True)
            self._port.plug()
            before = self._listener.received
            while self._listener.received == before:
                self.run(0.1, clean=True)
        self.run(0.2, clean=True)


def print_errors(name: str, errors: list[int]) -> None:
    """Quantiles of stamps' errors in ms."""
    low, median, high = np.quantile(errors, [0.0, 0.5, 1.0]) / 1e6
    p99 = np.quantile(np.abs(errors), 0.99) / 1e6
    print(f"  {name:28s} {low:7.2f} to {high:6.2f}, median {median:.2f}, 99 % within {p99:.2f}, of {len(errors)}")


def soak(seconds: float, rate: float, seed: int) -> bool:
    """Run and print; whether all is as it should be."""
    os.environ.update(ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", ROS_DOMAIN_ID=str(1 + os.getpid() % 100))
    rclpy.init()
    listener = Listener()
    with tempfile.TemporaryDirectory() as folder:
        port = PseudoPort(Path(folder) / "ttyUSB0")
        parameters = {"source": "serial", "serial.port": port.path}
        given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "deeprs2v_ros.nodes.arm_encoders", "--ros-args", *given]
        node = subprocess.Popen([*command, "--log-level", "FATAL"])
        try:
            run = Soak(rate, seed, port, listener, node)
            run.begin()
            began, cpu_before = time.monotonic(), usage(node.pid).cpu
            early, number = 0.0, 0
            while time.monotonic() - began < seconds:
                run.run(BETWEEN_EVENTS)
                run.event(EVENTS[number % len(EVENTS)])
                number += 1
                early = early or (
                    usage(node.pid).memory if time.monotonic() - began > min(60.0, seconds / 2.0) else 0.0
                )
            run.run(0.5, clean=True)
            used = usage(node.pid)
            elapsed = time.monotonic() - began
            run.stay_silent()
        finally:
            listener.end()
            node.send_signal(signal.SIGCONT)
            node.terminate()
            node.wait(PATIENCE)
    counts = listener.counts
    lost = {kind: counts[kind] for kind in ("gap", "late", "stamp", "nan", "count", "limits", "speed")}
    accounted = counts["published"] + sum(lost.values())
    print(f"{elapsed:.0f} s, {rate:g} Hz: taken {run.board.taken}, published {counts['published']}, not published:")
    print("  " + ", ".join(f"{kind} {count}" for kind, count in lost.items()))
    print(f"  accounted for {accounted} of {run.board.taken}; received {listener.received}, wrong {listener.wrong}")
    print("faults caused / counted:")
    for kind, count in (run.damage.caused + run.injected).items():
        print(f"  {kind:10s} {count:6d} / {counts.get(kind, '-')}" + (" (further samples were lost)" * (kind == "gap")))
    print("error of stamps in ms:")
    print_errors("after the first second", listener.errors)
    print_errors("in the first second", listener.first_errors)
    print(f"CPU {100 * (used.cpu - cpu_before) / elapsed:.1f} % of a core")
    print(f"memory {early:.1f} MB at minute 1 or half time, {used.memory:.1f} MB at the end")
    rclpy.shutdown()
    return listener.wrong == 0 and accounted == run.board.taken


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Soak test of the encoders' node on a bad serial line.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long")
    parser.add_argument("--rate", type=float, default=500.0, help="samples per second, up to 1000")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    arguments = parser.parse_args()
    return 0 if soak(arguments.seconds, arguments.rate, arguments.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
