"""Launching a launch file in a process of its own, as `ros2 launch` does."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # s

PROGRAM = """
import signal, sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore it
file, *given = sys.argv[1:]
arguments = [argument.split(":=", 1) for argument in given]
service = LaunchService(argv=given)
source = PythonLaunchDescriptionSource(file)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


class Launch:
    """A launch file that runs, and what it has ``said`` so far; ``folder`` is for its logs."""

    def __init__(self, folder, domain, name, path=(), **arguments):
        self._log = folder / "said.txt"
        environment = os.environ | {
            "ROS_DOMAIN_ID": str(domain),
            "ROS_LOG_DIR": str(folder / "log"),
            "ROS_HOME": str(folder),
            "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
        }
        given = [f"{argument}:={value}" for argument, value in arguments.items()]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(SOURCE / "launch" / f"{name}.launch.py"), *given],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def said(self):
        return self._log.read_text()

    def until(self, pattern, count=1):
        """What is said ``count`` times."""
        deadline = time.monotonic() + PATIENCE
        while len(found := re.findall(pattern, self.said)) < count:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return found

    def processes(self, program, count=1):
        """The ids of the processes of a program that have been started, once they are ``count``."""
        return [int(number) for number in self.until(rf"\[{program}-\d+\]: process started with pid \[(\d+)\]", count)]

    def interrupt(self):
        """Ctrl-C in its terminal, twice; the status."""
        for _ in range(2):
            os.killpg(self._process.pid, signal.SIGINT)
        return self.status()

    def status(self):
        return self._process.wait(PATIENCE)

    def kill(self):
        """Whatever is left."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
