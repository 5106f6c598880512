"""A recording again: a tracked sequence, or a bag with us/image and joint_states.

ros2 launch deeprs2v_ros replay.launch.py parameters:=/path/to/replay.yaml
ros2 launch deeprs2v_ros replay.launch.py parameters:=/path/to/replay.yaml bag:=/path/to/bag
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PACKAGE = "deeprs2v_ros"
NODES = ("volume_server", "registration", "target_monitor")
RECORDED = ("us/image", "joint_states")


def players(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """What plays, and the nodes that listen, on the bag's clock if there is one.

    Of a bag only the recorded inputs are played; everything else, the latched topics above all, is made anew.
    """
    bag = LaunchConfiguration("bag").perform(context)
    common = {
        "package": PACKAGE,
        "parameters": [LaunchConfiguration("parameters"), {"use_sim_time": bool(bag)}],
        "output": "screen",
    }
    names = ("arm_kinematics" if bag else "ultrasound_source", *NODES)
    if IfCondition(LaunchConfiguration("composed")).evaluate(context):
        unwanted = ["arm_encoders", "ultrasound_source" if bag else "arm_kinematics"]
        nodes = [Node(executable="cart", arguments=["--without", *unwanted], **common)]
    else:
        nodes = [Node(executable=name, **common) for name in names]
    if not bag:
        return nodes
    # A hundred ticks of the clock a second: with fewer, images seem to come from the future.
    play = ["ros2", "bag", "play", bag, "--clock", "100", "--loop", "--topics", *(f"/{name}" for name in RECORDED)]
    return [*nodes, ExecuteProcess(cmd=play, output="screen")]


def generate_launch_description() -> LaunchDescription:
    """The player, volume, registration and monitor with one file of parameters."""
    share = Path(get_package_share_directory(PACKAGE))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "parameters",
                default_value=str(share / "config" / "replay.yaml"),
                description="YAML file of all nodes' parameters: your copy of config/replay.yaml",
            ),
            DeclareLaunchArgument("bag", default_value="", description="Bag to play; empty: the sequence of the file"),
            DeclareLaunchArgument("rviz", default_value="false", description="Whether to start RViz"),
            DeclareLaunchArgument(
                "composed", default_value="true", description="Whether all nodes run in one process, which costs less"
            ),
            OpaqueFunction(function=players),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(share / "rviz" / "guidance.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
