"""Live images arrive, however their publisher offers them."""

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from deeprs2v_ros.nodes.running.spinning import EventsExecutor
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import image_message, stamp_message
from deeprs2v_ros.nodes.topics.live_images import LiveImages


@pytest.fixture(params=[SingleThreadedExecutor, *filter(None, [EventsExecutor])])
def spin(ros, keep, request):
    """A node that listens and one that publishes, spun by either executor until a condition holds."""
    executor = request.param(context=ros)
    listener, driver = (keep(rclpy.create_node(name, context=ros)) for name in ("listener", "driver"))
    for node in (listener, driver):
        executor.add_node(node)

    def until(condition):
        for _ in range(2000):
            if condition():
                return
            executor.spin_once(timeout_sec=0.01)
        raise AssertionError("nothing came")

    yield listener, driver, until
    executor.shutdown()


@pytest.mark.parametrize("offered", [qos.IMAGES, qos.LIVE])
def test_images_arrive_once_each(spin, offered):
    listener, driver, until = spin
    heard = []
    images = LiveImages(listener, lambda message: heard.append(message.header.stamp.sec))
    publisher = driver.create_publisher(Image, "us/image", offered)
    until(lambda: images._subscription.qos_profile.reliability == offered.reliability)
    until(lambda: publisher.get_subscription_count() == 1)
    for number in range(1, 6):
        publisher.publish(image_message(np.zeros((4, 4), np.uint8), "mono8", "us_image", stamp_message(number * 10**9)))
        until(lambda number=number: heard and heard[-1] == number)
    assert heard == [1, 2, 3, 4, 5]


def test_colour_images_of_full_size_are_not_lost(spin):
    listener, driver, until = spin
    heard = []
    images = LiveImages(listener, lambda message: heard.append(message.header.stamp.sec))
    publisher = driver.create_publisher(Image, "us/image", qos.IMAGES)
    until(lambda: publisher.get_subscription_count() == 1)
    picture = np.zeros((564, 752, 3), np.uint8)
    for number in range(1, 21):
        publisher.publish(image_message(picture, "rgb8", "us_image", stamp_message(number * 10**9)))
        until(lambda number=number: len(heard) == number)
    assert images._subscription.qos_profile.reliability == qos.IMAGES.reliability
