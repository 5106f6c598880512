"""The cart in the clinic.

ros2 launch deeprs2v_ros cart.launch.py parameters:=/path/to/cart.yaml rviz:=true
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "deeprs2v_ros"
NODES = ("arm_encoders", "arm_kinematics", "ultrasound_source", "volume_server", "registration", "target_monitor")


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """All nodes, in one process or each in its own; arm_encoders unless a driver publishes joint_states."""
    composed, encoders = (IfCondition(LaunchConfiguration(name)).evaluate(context) for name in ("composed", "encoders"))
    common = {"package": PACKAGE, "parameters": [LaunchConfiguration("parameters")], "output": "screen"}
    if composed:
        return [Node(executable="cart", arguments=[] if encoders else ["--without", "arm_encoders"], **common)]
    return [Node(executable=name, **common) for name in NODES if encoders or name != "arm_encoders"]


def generate_launch_description() -> LaunchDescription:
    """All nodes with one file of parameters."""
    share = Path(get_package_share_directory(PACKAGE))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "parameters",
                default_value=str(share / "config" / "cart.yaml"),
                description="YAML file of all nodes' parameters: your copy of config/cart.yaml",
            ),
            DeclareLaunchArgument("rviz", default_value="false", description="Whether to start RViz"),
            DeclareLaunchArgument(
                "encoders",
                default_value="true",
                description="Whether to start arm_encoders; false where a driver publishes joint_states",
            ),
            DeclareLaunchArgument(
                "composed", default_value="true", description="Whether all nodes run in one process, which costs less"
            ),
            OpaqueFunction(function=nodes),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(share / "rviz" / "guidance.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
