"""The simulated cart: every node of the real one, and a patient.

ros2 launch deeprs2v_ros simulator.launch.py rviz:=true
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
    """All six nodes, in one process or each in its own."""
    composed = IfCondition(LaunchConfiguration("composed")).evaluate(context)
    common = {"package": PACKAGE, "parameters": [LaunchConfiguration("parameters")], "output": "screen"}
    return [Node(executable=name, **common) for name in (("cart",) if composed else NODES)]


def generate_launch_description() -> LaunchDescription:
    """All nodes with one file of parameters."""
    share = Path(get_package_share_directory(PACKAGE))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "parameters",
                default_value=str(share / "config" / "simulator.yaml"),
                description="YAML file of all nodes' parameters",
            ),
            DeclareLaunchArgument("rviz", default_value="false", description="Whether to start RViz"),
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
