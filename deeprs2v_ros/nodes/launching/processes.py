"""The processes that a launch starts: the nodes, in one or in one each, and what looks on."""

from __future__ import annotations

import re
from collections.abc import Collection

from launch import LaunchContext
from launch_ros.actions import Node

from deeprs2v_ros.nodes.composed.cart import BESIDE, NODES
from deeprs2v_ros.nodes.launching.arguments import by_clock_topic, text, whether
from deeprs2v_ros.nodes.launching.namespaces import absolute, namespace
from deeprs2v_ros.nodes.launching.needed import Needed
from deeprs2v_ros.nodes.launching.parameters import given_file, parameter_files
from deeprs2v_ros.parameters.layout import check_one_parent
from deeprs2v_ros.resources import resource

PACKAGE = "deeprs2v_ros"
LAYOUT = "rviz/guidance.rviz"


def nodes(context: LaunchContext, names: Collection[str], on_bag_clock: bool = False) -> list[Node]:
    """The nodes of these names, by the clock of a bag if one is played.

    Raises InputError for a parameter file that cannot be used, and for nodes that contradict each other.
    """
    check_one_parent(names, given_file(context).of("ultrasound_source")("source", "", ""))
    if whether(context, "composed"):
        without = [name for name in NODES if name not in names]
        programs = {"cart": ["--without", *without] if without else []}
    else:
        programs = {name: [] for name in NODES if name in names}
    programs |= {name: [] for name in BESIDE}
    files = parameter_files(context, [*names, *BESIDE], on_bag_clock)
    return [
        Needed(
            package=PACKAGE,
            executable=program,
            namespace=text(context, "namespace"),
            parameters=files,
            arguments=arguments,
            ros_arguments=["--log-level", text(context, "log_level")],
            output="screen",
        ).start()
        for program, arguments in programs.items()
    ]


def viewers(context: LaunchContext, on_bag_clock: bool = False) -> list[Node]:
    """RViz and the bridge of Foxglove, where they are asked for."""
    clock = [{"use_sim_time": by_clock_topic(context, on_bag_clock)}]
    found = []
    if whether(context, "rviz"):
        layout = resource(LAYOUT)
        topics = sorted(set(re.findall(r"Value: (/[\w/]+)$", layout.read_text(encoding="utf-8"), re.M)))
        moved = [] if namespace(context) == "/" else [(topic, absolute(context, topic[1:])) for topic in topics]
        found.append(
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(layout)],
                remappings=moved,
                parameters=clock,
                output="log",
            )
        )
    if whether(context, "foxglove"):
        found.append(Node(package="foxglove_bridge", executable="foxglove_bridge", parameters=clock, output="screen"))
    return found
