"""The simulated cart: every node of the real one, and a patient.

ros2 launch deeprs2v_ros simulator.launch.py rviz:=true
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "deeprs2v_ros"
NODES = ("arm_encoders", "arm_kinematics", "ultrasound_source", "volume_server", "registration", "target_monitor")


def generate_launch_description() -> LaunchDescription:
    """All six nodes with one file of parameters."""
    share = Path(get_package_share_directory(PACKAGE))
    parameters = LaunchConfiguration("parameters")
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "parameters",
                default_value=str(share / "config" / "simulator.yaml"),
                description="YAML file of all nodes' parameters",
            ),
            DeclareLaunchArgument("rviz", default_value="false", description="Whether to start RViz"),
            *(Node(package=PACKAGE, executable=name, parameters=[parameters], output="screen") for name in NODES),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(share / "rviz" / "guidance.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
