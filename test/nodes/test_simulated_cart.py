"""All nodes together on the simulated cart: what they say about the tumour, against the truth."""

import numpy as np
import pytest
import rclpy
from bench import overrides
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import Image

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.msg import RegistrationStatus as Status
from deeprs2v_ros.nodes.arm_encoders import ArmEncoders
from deeprs2v_ros.nodes.arm_kinematics import ArmKinematics
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.target_monitor import TargetMonitor
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds
from deeprs2v_ros.nodes.ultrasound_source import UltrasoundSource
from deeprs2v_ros.nodes.volume_server import VolumeServer
from deeprs2v_ros.resources import resource

ENOUGH = 20  # accepted images


def position(message):
    return 1e3 * np.array([message.point.x, message.point.y, message.point.z])


@pytest.mark.alone
def test_target_is_found_within_two_millimetres_while_the_patient_breathes(ros, keep, tmp_path, spin_until):
    arguments = ["--ros-args", "--params-file", str(resource("config/simulator.yaml"))]

    def start(kind, **parameters):
        return keep(kind(context=ros, cli_args=arguments, parameter_overrides=overrides(parameters)))

    nodes = [start(VolumeServer, sweep_frames=80, spacing=1.0, output=str(tmp_path / "volume.mha"))]
    nodes += [start(kind) for kind in (RegistrationNode, ArmKinematics, ArmEncoders, UltrasoundSource, TargetMonitor)]
    listener = keep(rclpy.create_node("listener", context=ros))
    truth, found, statuses, images = {}, {}, [], []

    def remember(points):
        return lambda message: points.__setitem__(nanoseconds(message.header.stamp), position(message))

    listener.create_subscription(PointStamped, "simulation/target", remember(truth), qos.STATUS)
    listener.create_subscription(PointStamped, "monitor/target", remember(found), qos.STATUS)
    listener.create_subscription(Status, "registration/status", statuses.append, qos.STATUS)
    listener.create_subscription(Image, "us/image", images.append, qos.IMAGES)
    spin_until(lambda: len(found.keys() & truth.keys()) >= ENOUGH, *nodes, listener, seconds=60.0)

    common = sorted(found.keys() & truth.keys())
    errors = [np.linalg.norm(found[stamp] - truth[stamp]) for stamp in common]
    assert max(errors) < 2.0
    assert np.ptp([truth[stamp] for stamp in common], axis=0).max() > 3.0  # it did move
    accepted = {nanoseconds(status.header.stamp) for status in statuses if status.accepted}
    assert set(found) <= accepted
    stamps = [nanoseconds(status.header.stamp) for status in statuses if not status.without_image]
    assert len(stamps) == len(set(stamps))
    assert set(stamps) <= {nanoseconds(image.header.stamp) for image in images} | set(stamps[-1:])


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"image.face": [0.0, 0.0]}, r"image\.face"),
        ({"image.rows": 400}, r"image\.rows"),
        ({"scene.kind": "recorded"}, r"scene\.sequence"),
        ({"scene.kind": "imagined"}, "not one of none, simulated, recorded"),
        ({"arm": "/nowhere.yaml"}, r"nowhere\.yaml"),
        ({"scene.rate": 0.0}, r"scene\.rate"),
    ],
)
def test_scene_that_cannot_be_is_refused(ros, parameters, fault):
    arguments = ["--ros-args", "--params-file", str(resource("config/simulator.yaml"))]
    with pytest.raises(InputError, match=fault):
        ArmEncoders(context=ros, cli_args=arguments, parameter_overrides=overrides(parameters))
