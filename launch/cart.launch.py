"""The cart in the clinic.

ros2 launch deeprs2v_ros cart.launch.py parameters:=/path/to/cart.yaml rviz:=true
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from deeprs2v_ros.nodes.composed.cart import NODES
from deeprs2v_ros.nodes.launching.arguments import argument, common_arguments, whether
from deeprs2v_ros.nodes.launching.processes import nodes, viewers
from deeprs2v_ros.nodes.launching.recording import recorder


def processes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """All nodes; arm_encoders unless a driver publishes joint_states."""
    names = [name for name in NODES if name != "arm_encoders" or whether(context, "encoders")]
    return [*recorder(context), *nodes(context, names), *viewers(context)]


def generate_launch_description() -> LaunchDescription:
    """All nodes with one file of parameters."""
    encoders = "Whether to start arm_encoders; false where a driver publishes joint_states"
    return LaunchDescription(
        [*common_arguments("cart"), argument("encoders", "true", encoders), OpaqueFunction(function=processes)]
    )
