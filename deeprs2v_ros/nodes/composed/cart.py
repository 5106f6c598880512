"""Program cart: all nodes of the cart in one process, which costs a fraction of what a process for each does.

    ros2 run deeprs2v_ros cart [--without NODE ...] --ros-args --params-file my_cart.yaml

Parameters, remappings and a namespace reach the nodes as they do when each is started by itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from deeprs2v_ros.nodes.running.ending import Asked, Ending, leave, leave_at_once_on_signals
from deeprs2v_ros.parameters.layout import check_one_parent

if TYPE_CHECKING:
    from deeprs2v_ros.nodes.composed.composition import Composition

NODES = {
    "arm_encoders": "ArmEncoders",
    "arm_kinematics": "ArmKinematics",
    "health": "Health",
    "registration": "RegistrationNode",
    "target_monitor": "TargetMonitor",
    "ultrasound_source": "UltrasoundSource",
    "volume_server": "VolumeServer",
}
"""Their classes, in the order in which they start: listeners first, and last the one that may take long."""
BESIDE = {"guidance_view": "GuidanceView"}
"""What runs beside them in a process of its own: it takes long, and nothing else may wait for it."""
SLOW = ("volume_server",)
"""Its parameters may change while it runs: then it reads a volume, and nothing else may wait for that."""

_PERIOD = 0.5  # s between checks that all is well


def main() -> int:
    """Run the nodes until SIGINT or SIGTERM. Returns the exit status: bad parameters are one fatal line."""
    leave_at_once_on_signals()  # importing takes seconds
    from rclpy.logging import get_logger

    from deeprs2v_ros.errors import InputError
    from deeprs2v_ros.nodes.composed.composition import Composition, own_arguments
    from deeprs2v_ros.nodes.running.program import BAD_INPUT

    name = "cart"
    try:
        names = _chosen(own_arguments(sys.argv)[1:])
        ending = Ending()
        with Composition(sys.argv) as nodes, ending.interruptible():
            for name in names:
                _add(nodes, name, names)
            while not ending.asked:
                nodes.check()
                time.sleep(_PERIOD)
    except InputError as error:
        get_logger(name).fatal(str(error))
        return BAD_INPUT
    except Asked:
        pass
    return 0


def _chosen(arguments: Sequence[str]) -> list[str]:
    """The names of the nodes to run."""
    parser = argparse.ArgumentParser(prog="cart", description="All nodes of the cart in one process.")
    known = ", ".join(NODES)
    parser.add_argument("--without", nargs="+", choices=NODES, default=[], metavar="NODE", help=f"some of {known}")
    without = parser.parse_args(arguments).without
    return [name for name in NODES if name not in without]


def _add(nodes: Composition, name: str, names: Sequence[str]) -> None:
    node_class = getattr(importlib.import_module(f"deeprs2v_ros.nodes.{name}"), NODES[name])
    if name == "health":  # which watches those of the others that run
        node_class = partial(node_class, [each for each in names if each != name])
    node = nodes.add(node_class, slow=name in SLOW, services=name in SLOW)
    if name == "ultrasound_source":
        check_one_parent(names, node.get_parameter("source").value)


if __name__ == "__main__":
    leave(main())
