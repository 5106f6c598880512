"""The simulated cart: every node of the real one, and a patient.

ros2 launch deeprs2v_ros simulator.launch.py rviz:=true
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from deeprs2v_ros.nodes.composed.cart import NODES
from deeprs2v_ros.nodes.launching.arguments import common_arguments
from deeprs2v_ros.nodes.launching.processes import nodes, viewers
from deeprs2v_ros.nodes.launching.recording import recorder


def processes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """All nodes of the cart."""
    return [*recorder(context), *nodes(context, NODES), *viewers(context)]


def generate_launch_description() -> LaunchDescription:
    """All nodes with one file of parameters."""
    return LaunchDescription([*common_arguments("simulator"), OpaqueFunction(function=processes)])
