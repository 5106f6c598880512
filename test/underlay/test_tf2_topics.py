"""Broadcasters and the listener, through real ROS topics."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import tf2_ros
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage
from transforms import at, matrix, message, shifted


@pytest.fixture
def sender(make_node):
    return make_node("sender")


@pytest.fixture
def receiver(make_node):
    return make_node("receiver")


@pytest.fixture
def buffer(receiver):
    buffer = tf2_ros.Buffer(node=receiver)
    buffer.listener = tf2_ros.TransformListener(buffer, receiver)
    return buffer


def x_of(buffer, target, source):
    return matrix(buffer.lookup_transform(target, source, Time()))[0, 3]


def test_dynamic_round_trip(sender, receiver, buffer, spin_until):
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() > 0, sender, receiver)
    broadcaster.sendTransform(message("base", "arm", 1.0, shifted(1.0)))
    broadcaster.sendTransform([message("base", "arm", 2.0, shifted(2.0)), message("arm", "probe", 2.0, shifted(0.5))])
    spin_until(lambda: buffer.can_transform("base", "probe", at(2.0)), sender, receiver)
    assert matrix(buffer.lookup_transform("base", "arm", at(1.5)))[0, 3] == pytest.approx(1.5)
    assert x_of(buffer, "base", "probe") == pytest.approx(2.5)


def test_static_transforms_reach_a_late_listener(sender, receiver, spin_until):
    broadcaster = tf2_ros.StaticTransformBroadcaster(sender)
    broadcaster.sendTransform(message("base", "volume", 0.0, shifted(1.0)))
    broadcaster.sendTransform([message("volume", "tumor", 0.0, shifted(2.0))])
    buffer = tf2_ros.Buffer(node=receiver)
    listener = tf2_ros.TransformListener(buffer, receiver)
    spin_until(lambda: buffer.can_transform("base", "tumor", at(5.0)), sender, receiver)
    assert x_of(buffer, "base", "tumor") == pytest.approx(3.0)
    listener.unregister()


def test_static_broadcaster_keeps_the_first_transform_of_a_child(sender, receiver, spin_until):
    received = []
    broadcaster = tf2_ros.StaticTransformBroadcaster(sender)
    receiver.create_subscription(TFMessage, "/tf_static", received.append, broadcaster.pub_tf.qos_profile)
    broadcaster.sendTransform(message("base", "volume", 0.0, shifted(1.0)))
    broadcaster.sendTransform([message("base", "volume", 0.0, shifted(9.0)), message("volume", "mri", 0.0)])
    spin_until(lambda: received and len(received[-1].transforms) == 2, sender, receiver)
    assert [matrix(transform)[0, 3] for transform in received[-1].transforms] == [1.0, 0.0]


def test_a_fresh_static_broadcaster_replaces_a_transform(sender, receiver, buffer, spin_until):
    old, new = tf2_ros.StaticTransformBroadcaster(sender), tf2_ros.StaticTransformBroadcaster(sender)
    old.sendTransform(message("base", "volume", 0.0, shifted(1.0)))
    spin_until(lambda: buffer.can_transform("base", "volume", at(1.0)), sender, receiver)
    new.sendTransform(message("base", "volume", 0.0, shifted(2.0)))
    spin_until(lambda: x_of(buffer, "base", "volume") == 2.0, sender, receiver)


def test_unregistered_listener_hears_nothing_more(sender, receiver, buffer, spin_until):
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() == 1, sender, receiver)
    buffer.listener.unregister()
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() == 0, sender, receiver)


def test_lookup_waits_for_a_transform_that_another_thread_receives(ros, sender, receiver, buffer, spin_until):
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    spin_until(lambda: broadcaster.pub_tf.get_subscription_count() > 0, sender)
    executor = SingleThreadedExecutor(context=ros)
    executor.add_node(receiver)
    with ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(executor.spin)
        threading.Timer(0.1, broadcaster.sendTransform, [message("base", "probe", 1.0, shifted(4.0))]).start()
        found = buffer.lookup_transform("base", "probe", at(1.0), timeout=Duration(seconds=10))
        executor.shutdown()
    assert spinning.exception() is None or isinstance(spinning.exception(), ExternalShutdownException)
    assert matrix(found)[0, 3] == 4.0


def test_lookup_gives_up_after_its_timeout(buffer):
    buffer.set_transform(message("base", "probe", 1.0), "test")
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("base", "probe", at(2.0), timeout=Duration(seconds=0.05))


def test_a_clock_that_jumps_back_clears_the_buffer(sender, make_node, spin_until):
    receiver = make_node("replay", parameter_overrides=[Parameter("use_sim_time", value=True)])
    buffer = tf2_ros.Buffer(node=receiver)
    clock = sender.create_publisher(Clock, "/clock", 10)
    now = receiver.get_clock().now

    def set_clock(seconds):
        def there():
            clock.publish(Clock(clock=at(seconds).to_msg()))
            return now().nanoseconds == at(seconds).nanoseconds

        spin_until(there, sender, receiver)

    set_clock(100.0)
    buffer.set_transform(message("base", "probe", 100.0), "test")
    buffer.set_transform_static(message("probe", "image", 0.0), "test")
    set_clock(101.0)
    assert buffer.can_transform("base", "image", at(100.0))
    set_clock(50.0)
    assert not buffer.can_transform("base", "probe", at(100.0))
    buffer.set_transform(message("base", "probe", 50.0), "test")
    assert buffer.can_transform("base", "image", at(50.0))
