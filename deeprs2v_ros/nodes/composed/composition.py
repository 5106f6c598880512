"""Several nodes in one process, and further ones in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType

import rclpy
from rclpy.node import Node
from rclpy.utilities import get_default_context, remove_ros_args

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.running.program import initialise, refusing
from deeprs2v_ros.nodes.running.spinning import QUICK, AnyNode, Spinner
from deeprs2v_ros.nodes.topics.transforms import end_sharing, share

_PATIENCE = 5.0  # s that a process has to end when asked to


class Composition:
    """Nodes in one process, which share what they know of TF. A context: at its end, all are stopped.

    ``arguments`` are those of a ROS program, beginning with --ros-args; entering the context raises InputError if they
    cannot be used. Signals are left to the caller, who has to leave the context on Ctrl-C.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._spinners: list[Spinner] = []
        self._quick: Spinner | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Composition:
        initialise(self._arguments)
        share(self.add(lambda **options: Node("transforms", **options)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as ending:  # each of these is done, even if one before it fails
            ending.callback(rclpy.try_shutdown)
            ending.callback(end_sharing, get_default_context())
            for spinner in self._spinners:
                ending.callback(spinner.end)
            for process in self._processes.values():
                ending.callback(_end, process)

    def add(self, node_class: Callable[..., AnyNode], *, slow: bool = False, services: bool = False) -> AnyNode:
        """Make a node and spin it. Raises what making it raises: InputError for bad parameters.

        ``slow``: its callbacks may take long, so they get a thread of their own. ``services``: its parameters may be
        looked at and changed while it runs. Other nodes do without: for every single message, an executor in
        Python goes through everything that a node has, and most of that are these services.
        """
        return self._spinner(slow).add(lambda: node_class(start_parameter_services=services))

    def stop(self, node: Node) -> None:
        """Stop and destroy one node before the others."""
        spinner = next(spinner for spinner in self._spinners if node in spinner.nodes)
        spinner.remove(node)

    def add_process(self, module: str) -> None:
        """Run the node of ``module`` in a process of its own, with the same arguments."""
        # In a session of its own it does not get the terminal's Ctrl-C, so that we decide when it ends.
        command: Sequence[str] = [sys.executable, "-m", module, *self._arguments]
        self._processes[module] = subprocess.Popen(command, start_new_session=True)

    def check(self) -> None:
        """Raise what stopped a node, if one has stopped; InputError for a process that has ended."""
        for spinner in self._spinners:
            spinner.check()
        for module, process in self._processes.items():
            if process.poll() is not None:
                raise InputError(f"{module}: ended with status {process.returncode}")

    def _spinner(self, slow: bool) -> Spinner:
        """Quick nodes share a thread, since waking one costs more than they do, unless that makes the executor slow."""
        if not slow and self._quick is not None:
            return self._quick
        spinner = Spinner()
        self._spinners.append(spinner)
        if not slow and QUICK:
            self._quick = spinner
        return spinner


def ros_arguments(parameters: str, talkative: Sequence[str] = ()) -> list[str]:
    """Arguments of nodes with the parameters of one YAML file that log warnings, those ``talkative`` more than that."""
    arguments = ["--ros-args", "--params-file", parameters]
    for level in ("WARN", *(f"{name}:=INFO" for name in talkative)):
        arguments += ["--log-level", level]
    return arguments


def own_arguments(arguments: Sequence[str]) -> list[str]:
    """Those of a program's ``arguments`` that are not for ROS. Raises InputError if ROS cannot use its own."""
    with refusing():
        return remove_ros_args(arguments)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
