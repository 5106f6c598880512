"""How every node's program starts and ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from deeprs2v_ros.errors import InputError

BAD_INPUT = 1


def run(node_class: Callable[[], Node]) -> int:
    """Spin one node until SIGINT or SIGTERM. Returns the exit status: bad input is one fatal line, no traceback.

    rclpy's own handlers would take the middleware away at once, under threads that still publish. Here the node ends
    first, and it is spun in a thread, since Python handles signals only while the main thread is not in a wait of ROS.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = None
    executor = SingleThreadedExecutor()
    with ThreadPoolExecutor(1, thread_name_prefix="spin") as thread:
        try:
            node = node_class()
            executor.add_node(node)
            thread.submit(executor.spin).result()
        except InputError as error:
            get_logger(node_class.__module__.rpartition(".")[2]).fatal(str(error))
            return BAD_INPUT
        except KeyboardInterrupt:
            pass
        finally:
            executor.shutdown()
            if node is not None:
                node.destroy_node()
            rclpy.try_shutdown()
    return 0
