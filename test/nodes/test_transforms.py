"""TF of several nodes in one process."""

import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from tf2_ros import Buffer, BufferCore, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.nodes.topics import transforms
from deeprs2v_ros.nodes.topics.conversions import stamp_message, transform_from_message, transform_messages
from deeprs2v_ros.nodes.topics.transforms import Broadcaster, end_sharing, share, transforms_of
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


@pytest.fixture
def stranger(ros, keep, node, spin_until):
    """Broadcasts, by ``moving`` and ``fixed``, what ``node`` hears in its ``transforms``."""
    stranger = keep(rclpy.create_node("stranger", context=ros))
    stranger.moving, stranger.fixed = TransformBroadcaster(stranger), StaticTransformBroadcaster(stranger)
    node.transforms = transforms_of(node)
    publishers = (stranger.moving.pub_tf, stranger.fixed.pub_tf)
    spin_until(lambda: all(each.get_subscription_count() == 1 for each in publishers), node, stranger)
    return stranger


def now_of(node):
    return node.get_clock().now().nanoseconds / SECOND


@pytest.mark.parametrize(
    "numbers", [{"w": 1.1}, {"w": 0.9}, {"w": 0.0}, {"w": np.nan}, {"w": np.inf}, {"x": np.nan}, {"z": -np.inf}]
)
@pytest.mark.parametrize("fixed", [False, True])
def test_what_is_no_rigid_transform_reaches_no_chain(node, stranger, spin_until, numbers, fixed):
    """TF makes a rotation of a quaternion of any length; in a chain, nobody would see it any more."""
    moment = now_of(node)
    (bad,) = messages(moment, child="b")
    for name, number in numbers.items():
        setattr(bad.transform.rotation if name == "w" else bad.transform.translation, name, number)
    last = transform_messages([LinkTransform("b", "c", np.eye(4))], stamp_message(round(moment * SECOND)))
    (stranger.fixed if fixed else stranger.moving).sendTransform([bad])
    stranger.moving.sendTransform(last)
    refused, buffer = node.transforms.refused, node.transforms.buffer
    spin_until(lambda: refused.total() and buffer.can_transform("b", "c", at(moment)), node, stranger)
    assert refused == {"no rigid transform": 1}
    assert not buffer.can_transform("a", "c", at(moment))


def test_one_stamp_far_in_the_future_does_not_shut_out_those_that_follow(node, stranger, spin_until):
    moment, buffer = now_of(node), node.transforms.buffer
    stranger.moving.sendTransform(messages(moment + 3600.0, 5.0))
    stranger.moving.sendTransform(messages(moment - 1.0, 1.0))
    stranger.moving.sendTransform(messages(moment, 1.0))
    spin_until(lambda: buffer.can_transform("a", "b", at(moment - 0.5)), node, stranger)
    assert node.transforms.refused == {"stamped far in the future": 1}
    assert buffer.lookup_transform("a", "b", Time()).header.stamp == at(moment).to_msg()


def test_what_is_still_under_way_when_a_recording_begins_again_is_refused(ros, keep, spin_until):
    node = keep(rclpy.create_node("replayed", context=ros, parameter_overrides=[Parameter("use_sim_time", value=True)]))
    player = keep(rclpy.create_node("player", context=ros))
    clock, shared = player.create_publisher(ClockMessage, "/clock", 10), transforms_of(node)

    def set_clock(seconds):
        def is_set():
            clock.publish(ClockMessage(clock=stamp_message(round(seconds * SECOND))))
            return now_of(node) == seconds

        spin_until(is_set, node, player)

    shared.add(messages(99.0))
    assert shared.buffer.can_transform("a", "b", at(99.0)), "without a clock nothing is in the future"
    set_clock(100.0)
    shared.add(messages(100.0))
    set_clock(10.0)
    shared.add(messages(100.5, 7.0))
    for k in range(3):
        shared.add(messages(9.9 + 0.1 * k, float(k)))
    assert shared.refused == {"stamped far in the future": 1}
    assert shared.buffer.lookup_transform("a", "b", at(10.05)).transform.translation.x == pytest.approx(1.5e-3)
    assert shared.buffer.lookup_transform("a", "b", Time()).header.stamp == at(10.1).to_msg()


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
