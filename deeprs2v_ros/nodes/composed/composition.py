"""Several nodes in one process, each spun by a thread of its own, and further ones in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import rclpy
import rclpy.task
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from deeprs2v_ros.errors import InputError

MOST_NODES = 32

_PATIENCE = 5.0  # s that a process has to end when asked to

AnyNode = TypeVar("AnyNode", bound=Node)


@dataclass(frozen=True)
class _Spinning:
    """A node, the future whose result ends its spinning, and the future of its thread."""

    node: Node
    executor: SingleThreadedExecutor
    stop: rclpy.task.Future[None]
    thread: Future[None]

    def end(self) -> None:
        self.stop.set_result(None)
        wait([self.thread])
        self.executor.shutdown()
        self.node.destroy_node()


class Composition:
    """Nodes with the parameters of one YAML file. A context: at its end, all nodes and processes are stopped.

    Nodes log warnings, those named in ``talkative`` more than that.
    Ctrl-C is left to the caller, who has to leave the context then.
    """

    def __init__(self, parameters: Path, talkative: Sequence[str] = ()) -> None:
        self._arguments = ["--ros-args", "--params-file", str(parameters)]
        for level in ("WARN", *(f"{name}:=INFO" for name in talkative)):
            self._arguments += ["--log-level", level]
        self._spinning: list[_Spinning] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Composition:
        rclpy.init(args=self._arguments, signal_handler_options=SignalHandlerOptions.NO)
        self._threads = ThreadPoolExecutor(MOST_NODES, "spin")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as ending:  # every one of these happens, whatever fails before it
            ending.callback(rclpy.try_shutdown)
            ending.callback(self._threads.shutdown)
            for spinning in self._spinning:
                ending.callback(spinning.end)
            for process in self._processes.values():
                ending.callback(_end, process)

    def add(self, node_class: Callable[..., AnyNode]) -> AnyNode:
        """Make a node and spin it. Raises what making it raises: InputError for bad parameters.

        It gets no services to look at and change its parameters: an executor in Python goes through all that a node
        has for every single message, and these are most of it.
        """
        node = node_class(start_parameter_services=False)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        stop: rclpy.task.Future[None] = rclpy.task.Future(executor=executor)
        thread = self._threads.submit(executor.spin_until_future_complete, stop)
        self._spinning.append(_Spinning(node, executor, stop, thread))
        return node

    def stop(self, node: Node) -> None:
        """Stop and destroy one node before the others."""
        spinning = next(spinning for spinning in self._spinning if spinning.node is node)
        self._spinning.remove(spinning)
        spinning.end()

    def add_process(self, module: str) -> None:
        """Run the node of ``module`` in a process of its own, with the same parameters."""
        # In a session of its own it does not get the terminal's Ctrl-C, so that its end is ours to decide.
        command: Sequence[str] = [sys.executable, "-m", module, *self._arguments]
        self._processes[module] = subprocess.Popen(command, start_new_session=True)

    def check(self) -> None:
        """Raise what stopped a node, if one has stopped; InputError for a process that has ended."""
        for spinning in self._spinning:
            if spinning.thread.done():
                spinning.thread.result()
        for module, process in self._processes.items():
            if process.poll() is not None:
                raise InputError(f"{module}: ended with status {process.returncode}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
