"""The arguments that all launch files have, and their values. Where one is empty, the parameter file decides."""

from __future__ import annotations

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from deeprs2v_ros.resources import resource

LEVELS = ("debug", "info", "warn", "error", "fatal")


def common_arguments(name: str) -> list[DeclareLaunchArgument]:
    """Those of every launch file; ``name`` is that of its parameter file in ``config/``."""
    file = str(resource(f"config/{name}.yaml"))
    return [
        argument("parameters", file, f"YAML file of all nodes' parameters: your copy of config/{name}.yaml"),
        argument("volume", "", "The 3D image; empty: as volume_server is told by the file"),
        argument("method", "", "How images are registered; empty: as registration is told by the file"),
        argument("device", "", "Where the network computes, cpu or cuda; empty: as registration is told by the file"),
        argument("use_sim_time", "", "Whether all nodes go by /clock; empty: as the file says"),
        argument("namespace", "", "Namespace of all nodes and topics, TF aside"),
        argument("composed", "true", "Whether all nodes run in one process, which costs less"),
        argument("log_level", "info", f"From which level on nodes speak: {', '.join(LEVELS)}", choices=LEVELS),
        argument("rviz", "false", "Whether to start RViz"),
        argument("foxglove", "false", "Whether to start foxglove_bridge, through which Foxglove looks on"),
        argument("record", "false", "Whether to record what went in and what came out, as MCAP"),
        argument(
            "record_folder", "", "Where to, in a folder of its own; empty: deeprs2v_ros/bags in ROS_HOME (~/.ros)"
        ),
    ]


def argument(
    name: str, default: str, description: str, choices: tuple[str, ...] | None = None
) -> DeclareLaunchArgument:
    """One argument."""
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def text(context: LaunchContext, name: str) -> str:
    """The value of an argument."""
    return LaunchConfiguration(name).perform(context)


def by_clock_topic(context: LaunchContext, usually: bool) -> bool:
    """Whether programs go by /clock: what use_sim_time says, and ``usually`` where it says nothing."""
    return whether(context, "use_sim_time") if text(context, "use_sim_time") else usually


def whether(context: LaunchContext, name: str) -> bool:
    """The value of an argument that is true or false. Raises launch's own error for anything else."""
    return IfCondition(LaunchConfiguration(name)).evaluate(context)
