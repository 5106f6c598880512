"""How every node's program starts and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import rclpy
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.running.ending import Asked, Ending
from deeprs2v_ros.nodes.running.spinning import Spinner
from deeprs2v_ros.parameters.arguments import check_arguments

BAD_INPUT = 2
"""Exit status, as of a command line that is refused: trying again is of no use. A traceback has another one."""


def run(node_class: Callable[[], Node]) -> int:
    """Spin one node until SIGINT or SIGTERM. Returns the exit status: bad input is one fatal line, no traceback.

    The node is spun in a thread, since Python handles no signals while the main thread waits inside ROS.
    """
    ending = Ending()
    try:
        with ExitStack() as at_the_end:
            initialise(sys.argv)
            at_the_end.callback(rclpy.try_shutdown)
            spinner = Spinner()
            at_the_end.callback(spinner.end)
            with ending.interruptible():
                spinner.add(node_class)
                spinner.wait()
    except InputError as error:
        get_logger(node_class.__module__.rpartition(".")[2]).fatal(str(error))
        return BAD_INPUT
    except Asked:
        pass
    return 0


def initialise(arguments: Sequence[str]) -> None:
    """Start ROS with a program's ``arguments``, signals aside. Raises InputError for bad ones, and for bad files."""
    check_arguments(arguments)
    with refusing():
        rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn the errors of ROS about arguments that it cannot use into InputErrors."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(f"ROS arguments: {' '.join(str(error).split())}") from error
