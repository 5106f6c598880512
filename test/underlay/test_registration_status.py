"""The message on which everything that is shown depends."""

from pathlib import Path

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from deeprs2v_ros.msg import RegistrationStatus

DEFINITION = Path(__file__).resolve().parents[2] / "msg/RegistrationStatus.msg"


def filled():
    status = RegistrationStatus(state=RegistrationStatus.HOLDING, reason="LOW_LNCC", lncc_after=0.25, iterations=17)
    status.header.frame_id = "us_volume"
    status.header.stamp.sec = 12
    status.pose.position.x = 0.125
    status.covariance = np.arange(36.0)
    status.latency_network = float("nan")
    status.volume = "liver.mha 0123abcd"
    return status


def test_states_are_in_the_order_of_their_life():
    names = ("UNCONFIGURED", "INACTIVE", "WAITING", "INITIALISING", "TRACKING", "HOLDING", "LOST", "FAULT")
    assert [getattr(RegistrationStatus, name) for name in names] == list(range(8))


def test_an_empty_message_permits_nothing():
    status = RegistrationStatus()
    assert not status.accepted
    assert status.state == RegistrationStatus.UNCONFIGURED


def test_round_trip():
    status = filled()
    back = deserialize_message(serialize_message(status), RegistrationStatus)
    assert np.isnan(back.latency_network)
    status.latency_network = back.latency_network = 0.0
    assert back == status


def test_a_bag_reader_without_ros_reads_it():
    """What the middleware puts into a bag is what the definition says, field by field."""
    name = "deeprs2v_ros/msg/RegistrationStatus"
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg(DEFINITION.read_text(), name))
    read = store.deserialize_cdr(serialize_message(filled()), name)
    assert (read.state, read.reason, read.iterations) == (5, "LOW_LNCC", 17)
    assert (read.header.stamp.sec, read.header.frame_id, read.pose.position.x) == (12, "us_volume", 0.125)
    assert read.covariance.tolist() == list(range(36))
    assert read.volume == "liver.mha 0123abcd"
