"""The cart as it is launched, on a recorded scene, in processes of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from deeprs2v_ros.cli.inputs import read_masked_sequence
from deeprs2v_ros.demo.parameters import recorded_parameters
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import read_volume

PATIENCE = 20.0  # s that a process has to end
FROZEN_DISTANCE = 2.0
"""mm: as on a cart, where no picture comes twice."""


def write_parameters(data: Path, folder: Path, rate: float, seed: int, frozen_distance: float = 0.0) -> Path:
    """The parameters of the recording in ``data``: volume.mha, frames.igs.mha, mask.png.

    ``frozen_distance`` of 0 lets a picture come several times, as those of a recording do. Raises InputError for files
    that cannot be used.
    """
    if not data.is_dir():
        raise InputError(f"--data: {data}: no such folder")
    frames, mask_path, volume = (data / name for name in ("frames.igs.mha", "mask.png", "volume.mha"))
    sequence, mask = read_masked_sequence(frames, mask_path)
    read_volume(volume)
    parameters = recorded_parameters(frames, sequence, mask_path, mask, volume, seed, 15.0, rate)
    (registration,) = (values for node, values in parameters.items() if node.rpartition("/")[2] == "registration")
    registration["ros__parameters"]["frozen_distance"] = frozen_distance
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(parameters), encoding="utf-8")
    return path


def program(module: str, parameters: Path, options: Sequence[str] = (), **remapped: str) -> list[str]:
    """The command that runs a node's program; ``remapped`` are topics of nodes, as in ``node="topic:=other"``."""
    rules = [word for node, rule in remapped.items() for word in ("-r", f"{node}:{rule}")]
    ros = ["--ros-args", "--params-file", str(parameters), "--log-level", "WARN", *rules]
    return [sys.executable, "-m", f"deeprs2v_ros.nodes.{module}", *options, *ros]


@contextmanager
def running(programs: Mapping[str, list[str]], log: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start them, with what they say in the file ``log``; stop them as Ctrl-C would.

    They run in the folder of ``log``, so that the package is that of this process, whatever folder it was started in.
    """
    with log.open("ab") as said:
        processes = {
            name: subprocess.Popen(command, start_new_session=True, stderr=said, stdout=said, cwd=log.parent)
            for name, command in programs.items()
        }
        try:
            yield processes
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGINT)
            for name, process in processes.items():
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                if process.wait() != 0:
                    print(f"{name} ended with status {process.returncode}", file=sys.stderr)
