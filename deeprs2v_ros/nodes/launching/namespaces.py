"""Absolute names, by the namespace that nodes are launched in."""

from __future__ import annotations

from launch import LaunchContext
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from deeprs2v_ros.nodes.launching.arguments import text


def namespace(context: LaunchContext) -> str:
    """The namespace of all nodes, with a slash in front: the argument's, inside that of a launch file around ours."""
    pushed = context.launch_configurations.get("ros_namespace")
    return make_namespace_absolute(prefix_namespace(pushed, text(context, "namespace") or None)) or "/"


def absolute(context: LaunchContext, name: str) -> str:
    """The absolute name of a topic or node; one with a slash in front has it already."""
    return name if name.startswith("/") else f"{namespace(context).rstrip('/')}/{name}"
