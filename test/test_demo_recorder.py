"""The recorder: a real bag, from real topics."""

import importlib.util
import os
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from deeprs2v_ros.errors import InputError

HAS_ROS = all(importlib.util.find_spec(name) for name in ("rclpy", "deeprs2v_ros.msg"))
pytestmark = pytest.mark.skipif(not HAS_ROS, reason="needs ROS: source install/setup.bash")
if HAS_ROS:
    import rclpy
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    from deeprs2v_ros.msg import RegistrationStatus
    from deeprs2v_ros.nodes.composed.bag_recorder import BagRecorder
    from deeprs2v_ros.nodes.composed.definitions import message_definition


@pytest.fixture
def bag(tmp_path, monkeypatch):
    """A bag of a latched text, ten images and a status, recorded as they were published."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(domain_id=1 + os.getpid() % 100)
    node = rclpy.create_node("sender")
    text = node.create_publisher(
        String, "volume/file", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    images = node.create_publisher(Image, "us/image", QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))
    statuses = node.create_publisher(RegistrationStatus, "registration/status", 10)
    text.publish(String(data="before anybody listened"))
    recorder = BagRecorder(tmp_path / "bag")
    _wait(lambda: images.get_subscription_count() and statuses.get_subscription_count())
    written = recorder._writer.counts  # by connection
    for number in range(10):
        image = Image(height=300, width=400, encoding="mono8", step=400)
        image.header.stamp.nanosec = number
        image.data.frombytes(bytes([number]) * 120_000)
        images.publish(image)
        _wait(lambda number=number: sum(written.values()) > number)
    status = RegistrationStatus(state=RegistrationStatus.TRACKING, reason="none", lncc_after=0.25)
    statuses.publish(status)
    recorder.destroy_node()
    node.destroy_node()
    rclpy.shutdown()
    return tmp_path / "bag"


def _wait(condition):
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline, "nothing came in ten seconds"
        time.sleep(0.01)


def test_messages_are_read_as_they_were_sent(bag):
    with AnyReader([bag]) as reader:
        found = {}
        for connection, received, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((received, message))
    assert [message.data for _, message in found["/volume/file"]] == ["before anybody listened"]
    assert [message.header.stamp.nanosec for _, message in found["/us/image"]] == list(range(10))
    assert all((message.data == number).all() for number, (_, message) in enumerate(found["/us/image"]))
    ((_, status),) = found["/registration/status"]
    assert (status.state, status.reason, status.lncc_after) == (status.TRACKING, "none", 0.25)
    times = np.array([received for received, _ in found["/us/image"]])
    assert (np.diff(times) > 0).all()
    assert abs(times[-1] / 1e9 - time.time()) < 60.0


@pytest.mark.parametrize("full_at", ["a message", "the index"])
def test_a_full_disk_is_said_once_and_disturbs_nobody(tmp_path, monkeypatch, capfd, full_at):
    """The disk is that of /dev/full: whatever is flushed to it fails as on a real one."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(domain_id=1 + os.getpid() % 100)
    node = rclpy.create_node("sender")
    publisher = node.create_publisher(String, "text", 10)
    recorder = BagRecorder(tmp_path / "bag")
    _wait(publisher.get_subscription_count)

    def fail(*_):
        with Path("/dev/full").open("wb", buffering=0) as disk:
            disk.write(b"x")

    monkeypatch.setattr(recorder._writer, "write" if full_at == "a message" else "close", fail)
    publisher.publish(String(data="too much"))
    if full_at == "a message":
        _wait(recorder._recording.done)
        recorder.check()  # goes on
        publisher.publish(String(data="nobody waits"))
    with pytest.raises(InputError, match=r"bag: is not whole \(No space left on device"):
        recorder.destroy_node()
    node.destroy_node()
    rclpy.shutdown()
    said = [line for line in capfd.readouterr().err.splitlines() if "nothing is recorded any more" in line]
    assert len(said) == 1
    assert "No space left on device" in said[0]


def test_qos_is_what_was_offered(bag):
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    offered = {
        entry["topic_metadata"]["name"]: entry["topic_metadata"]["offered_qos_profiles"]
        for entry in metadata["topics_with_message_count"]
    }
    assert metadata["storage_identifier"] == "mcap"
    assert offered["/volume/file"][0]["durability"] == "transient_local"
    assert offered["/us/image"][0]["durability"] == "volatile"
    assert offered["/us/image"][0]["reliability"] == "best_effort"
    assert offered["/registration/status"][0]["reliability"] == "reliable"


def test_types_are_described_for_readers_without_them(bag):
    # Opening checks that the definitions in the bag have the hashes that the middleware gave for the topics.
    with AnyReader([bag]) as reader:
        definitions = {connection.topic: connection.msgdef.data for connection in reader.connections}
    assert "uint8 TRACKING=4" in definitions["/registration/status"]
    assert "MSG: geometry_msgs/Quaternion" in definitions["/registration/status"]
    assert not any(topic.startswith("/_") for topic in definitions)


def test_a_definition_names_each_type_once():
    definition = message_definition("geometry_msgs/msg/PointStamped")
    names = [line for line in definition.splitlines() if line.startswith("MSG: ")]
    assert sorted(names) == ["MSG: builtin_interfaces/Time", "MSG: geometry_msgs/Point", "MSG: std_msgs/Header"]
