"""How every node's program starts and ends."""

from __future__ import annotations

from collections.abc import Callable

import rclpy
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.support.ending import Asked, Ending
from deeprs2v_ros.nodes.support.spinning import Spinner

BAD_INPUT = 1


def run(node_class: Callable[[], Node]) -> int:
    """Spin one node until SIGINT or SIGTERM. Returns the exit status: bad input is one fatal line, no traceback.

    The node is spun in a thread, since Python handles signals only while the main thread is not in a wait of ROS.
    """
    ending = Ending()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    spinner = Spinner()
    try:
        with ending.interruptible():
            spinner.add(node_class)
            spinner.wait()
    except InputError as error:
        get_logger(node_class.__module__.rpartition(".")[2]).fatal(str(error))
        return BAD_INPUT
    except Asked:
        pass
    finally:
        spinner.end()
        rclpy.try_shutdown()
    return 0
