"""A recording again: a tracked sequence, or a bag with us/image and joint_states.

ros2 launch deeprs2v_ros replay.launch.py parameters:=/path/to/replay.yaml
ros2 launch deeprs2v_ros replay.launch.py parameters:=/path/to/replay.yaml bag:=/path/to/bag
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from deeprs2v_ros.nodes.composed.cart import NODES
from deeprs2v_ros.nodes.launching.arguments import argument, common_arguments, text
from deeprs2v_ros.nodes.launching.playing import player
from deeprs2v_ros.nodes.launching.processes import nodes, viewers
from deeprs2v_ros.nodes.launching.recording import recorder


def processes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """What plays, and the nodes that listen, on the bag's clock if there is one."""
    played = bool(text(context, "bag"))
    unwanted = ("arm_encoders", "ultrasound_source" if played else "arm_kinematics")
    names = [name for name in NODES if name not in unwanted]
    return [
        *recorder(context, on_bag_clock=played),
        *nodes(context, names, on_bag_clock=played),
        *viewers(context, on_bag_clock=played),
        *player(context),
    ]


def generate_launch_description() -> LaunchDescription:
    """The player, volume, registration and monitor with one file of parameters."""
    return LaunchDescription(
        [
            *common_arguments("replay"),
            argument("bag", "", "Bag to play; empty: the sequence of the file"),
            argument("rate", "1.0", "How many times as fast as it was recorded the bag is played"),
            argument("start_offset", "0.0", "Seconds of the bag to leave out at its beginning"),
            argument("loop", "true", "Whether the bag begins again at its end; otherwise all ends with it"),
            argument("image_topic", "/us/image", "Topic of the images in the bag"),
            argument("joint_topic", "/joint_states", "Topic of the joint states in the bag"),
            OpaqueFunction(function=processes),
        ]
    )
