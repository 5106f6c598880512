"""The cart in the clinic.

ros2 launch deeprs2v_ros cart.launch.py parameters:=/path/to/cart.yaml rviz:=true
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "deeprs2v_ros"
NODES = ("arm_kinematics", "ultrasound_source", "volume_server", "registration", "target_monitor")


def generate_launch_description() -> LaunchDescription:
    """All nodes with one file of parameters; arm_encoders unless a driver of its own publishes joint_states."""
    share = Path(get_package_share_directory(PACKAGE))
    parameters = LaunchConfiguration("parameters")
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
            Node(
                package=PACKAGE,
                executable="arm_encoders",
                parameters=[parameters],
                output="screen",
                condition=IfCondition(LaunchConfiguration("encoders")),
            ),
            *(Node(package=PACKAGE, executable=name, parameters=[parameters], output="screen") for name in NODES),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(share / "rviz" / "guidance.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
