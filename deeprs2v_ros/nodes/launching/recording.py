"""What is recorded of a session: all that `deeprs2v replay` needs, and what was shown."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import launch.logging
import yaml
from launch import LaunchContext
from launch.actions import ExecuteProcess
from launch.events.process import ProcessExited

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.launching.arguments import by_clock_topic, text, whether
from deeprs2v_ros.nodes.launching.namespaces import absolute
from deeprs2v_ros.nodes.launching.parameters import written
from deeprs2v_ros.resources import home, resource

TOPICS = (
    "us/image",
    "joint_states",
    "arm/image_pose",
    "robot_description",
    "volume/file",
    "volume/markers",
    "simulation/target",
    "registration/status",
    "monitor/target",
    "monitor/target_now",
    "monitor/target_predicted",
    "monitor/markers",
    "health",
    "/tf",
    "/tf_static",
    "/diagnostics",
)
"""Pictures are left out: they can be made again from the images and the status."""

QOS = "config/qos/recording.yaml"


def recorder(context: LaunchContext, on_bag_clock: bool = False) -> list[ExecuteProcess]:
    """`ros2 bag record` into a new folder named by the time, if it is asked for.

    Raises InputError where the folder for it cannot be made.
    """
    if not whether(context, "record"):
        return []
    topics = [absolute(context, topic) for topic in TOPICS]
    profiles = yaml.safe_load(resource(QOS).read_text(encoding="utf-8"))
    profiles = written("recording.yaml", {absolute(context, topic): profile for topic, profile in profiles.items()})
    bag = _folder(text(context, "record_folder")) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", str(bag)]
    command += ["--qos-profile-overrides-path", profiles]
    command += ["--use-sim-time"] if by_clock_topic(context, on_bag_clock) else []
    command += ["--topics", *topics]
    return [ExecuteProcess(cmd=command, output="screen", on_exit=lambda event, here: _say(event, here, bag))]


def _folder(given: str) -> Path:
    folder = Path(given).expanduser() if given else home() / "bags"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"record_folder: {folder} cannot be made ({error.strerror})") from error
    return folder


def _say(event: ProcessExited, context: LaunchContext, bag: Path) -> None:
    """A recording that has ended is no reason to stop the guidance, but those who rely on it have to know."""
    if not context.is_shutdown:
        launch.logging.get_logger("record").error(
            f"nothing is recorded any more, the guidance goes on: status {event.returncode}, {bag}"
        )
