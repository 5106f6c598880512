"""TF of several nodes in one process."""

import numpy as np
import pytest
import rclpy
from rclpy.time import Time
from tf2_ros import Buffer, BufferCore, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.nodes.support import transforms
from deeprs2v_ros.nodes.support.conversions import stamp_message, transform_from_message, transform_messages
from deeprs2v_ros.nodes.support.transforms import Broadcaster, end_sharing, share, transforms_of
from deeprs2v_ros.resources import resource

SECOND = 10**9


def messages(seconds, x=0.0, child="b"):
    place = LinkTransform("a", child, rigid(translation=(x, 0.0, 0.0)))
    return transform_messages([place], stamp_message(round(seconds * SECOND)))


def at(seconds):
    return Time(nanoseconds=round(seconds * SECOND))


@pytest.fixture
def hub(ros, keep):
    """Shares TF in this context."""
    node = keep(rclpy.create_node("hub", context=ros))
    share(node)
    yield node
    end_sharing(ros)


@pytest.fixture
def node(ros, keep):
    return keep(rclpy.create_node("one", context=ros))


@pytest.fixture
def other(ros, keep):
    """Listens as a program of somebody else does."""
    other = keep(rclpy.create_node("other", context=ros))
    other.buffer = Buffer(node=other)
    other.listener = TransformListener(other.buffer, other)
    return other


@pytest.fixture
def unread(monkeypatch):
    """Counts the messages of TF that are decoded."""
    decoded = []
    original = transforms.deserialize_message
    monkeypatch.setattr(transforms, "deserialize_message", lambda *args: decoded.append(args) or original(*args))
    return decoded


def test_nodes_share_one_buffer_only_if_asked_to(ros, hub, node, keep):
    assert transforms_of(node) is transforms_of(keep(rclpy.create_node("two", context=ros)))
    end_sharing(ros)
    assert transforms_of(node) is not transforms_of(node)


def test_neighbours_know_at_once_and_others_by_message_which_is_not_read_again(hub, node, other, spin_until, unread):
    shared, broadcaster, changes = transforms_of(node), Broadcaster(node), []
    shared.on_change(lambda: changes.append(None))
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() == 2, hub, other)
    for k in range(5):
        broadcaster.sendTransform(messages(1.0 + k, 10.0 * k))
        assert shared.buffer.can_transform("a", "b", at(1.0 + k))
    assert len(changes) == 5
    spin_until(lambda: other.buffer.can_transform("a", "b", at(5.0)), hub, other)
    stranger = TransformBroadcaster(other)
    spin_until(lambda: stranger.pub_tf.get_subscription_count() == 2, hub, other)
    stranger.sendTransform(messages(6.0, child="c"))
    spin_until(lambda: shared.buffer.can_transform("a", "c", at(6.0)), hub, other)
    assert len(unread) == 1
    for k in range(5):
        for buffer in (shared.buffer, other.buffer):
            assert buffer.lookup_transform("a", "b", at(1.0 + k)).transform.translation.x == pytest.approx(0.01 * k)


def test_what_only_neighbours_are_told_stays_in_the_process(hub, node, other, spin_until):
    shared, broadcaster = transforms_of(node), Broadcaster(node)
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() == 2, hub, other)
    broadcaster.tell_neighbours(messages(1.0))
    broadcaster.sendTransform(messages(2.0))
    spin_until(lambda: other.buffer.can_transform("a", "b", at(2.0)), hub, other)
    assert shared.buffer.can_transform("a", "b", at(1.0))
    assert not other.buffer.can_transform("a", "b", at(1.0))


def test_without_sharing_everything_comes_by_message(ros, node, keep, spin_until):
    own, sender = transforms_of(node), keep(rclpy.create_node("sender", context=ros))
    broadcaster, fixed, changes = Broadcaster(sender), StaticTransformBroadcaster(sender), []
    own.on_change(lambda: changes.append(None))
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() == 1, node, sender)
    broadcaster.tell_neighbours(messages(1.0))
    broadcaster.sendTransform(messages(2.0)[0])
    fixed.sendTransform(messages(0.0, child="d"))
    spin_until(lambda: own.buffer.can_transform("d", "b", at(2.0)), node, sender)
    assert len(changes) == 2
    assert not own.buffer.can_transform("a", "b", at(1.0))


def test_messages_that_never_came_back_are_forgotten(hub, node):
    shared = transforms_of(node)
    for k in range(1000):
        shared.expect(b"%d" % k)
    assert len(shared._sent) <= 200


def test_halving_the_rate_of_tf_costs_next_to_nothing_in_accuracy():
    """An image between two transforms of a fast hand: interpolated at 50 Hz as TF does, at the image's centre."""
    arm = read_arm(resource("config/arm/liver.yaml"))
    times = np.arange(0.0, 4.0, 0.005)

    def joints(t):  # to and fro within a second
        swing = {"j1": 0.03, "j2": 0.015, "j4": 0.03, "j6": 0.06}
        return arm.rest | {n: arm.rest[n] + a * np.sin(2 * np.pi * t + k) for k, (n, a) in enumerate(swing.items())}

    buffer = BufferCore()
    for transform in transform_messages(arm.chain.fixed_transforms(), stamp_message(0)):
        buffer.set_transform_static(transform, "test")
    for t in times[::4]:
        stamp = stamp_message(round((t + 1.0) * SECOND))
        for transform in transform_messages(arm.chain.moving_transforms(joints(t)), stamp):
            buffer.set_transform(transform, "test")
    centre, errors, path = [60.0, 80.0, 0.0], [], []
    for t in times[:-4]:
        found = buffer.lookup_transform_core("base_link", "us_image", at(t + 1.0))
        true = apply(arm.chain.base_from("us_image", joints(t)), centre)
        errors.append(np.linalg.norm(apply(transform_from_message(found.transform), centre) - true))
        path.append(true)
    speed = np.linalg.norm(np.diff(path, axis=0), axis=1).max() / 0.005
    assert speed > 150.0  # mm/s
    assert max(errors) < 0.1  # mm
