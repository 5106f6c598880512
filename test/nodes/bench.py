"""A registration node on a bench: a phantom volume, and a hand that shows it images with their poses."""

import time

import cv2
import numpy as np
import rclpy
from phantoms import IMAGE_FROM_PIXEL, SHAPE, cut_frame, displacement, fan, middle_pose, phantom
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.frames import CORRECTED, IMAGE, VOLUME
from deeprs2v_ros.geometry import inverse
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import (
    image_message,
    nanoseconds,
    stamp_message,
    transform_from_message,
    transform_messages,
)

VOLUME_IMAGE = phantom("spheres")
POSE = middle_pose(VOLUME_IMAGE)
ORGAN = displacement((3.0, -2.0, 2.5, 1.0, -2.0, 1.5))
"""How far the organ is from rest, as a motion of the plane about the image centre."""
PREPARING = ("NO_VOLUME", "FINDING_MASK", "STARTING")


def overrides(values):
    """A dictionary as rclpy wants it."""
    return [Parameter(name, value=value) for name, value in values.items()]


class Bench:
    """``statuses`` and ``corrections`` (stamp, volume_from_corrected) are what the node under test published."""

    def __init__(self, context, keep, spin_until, folder, parameters):
        self._spin_until, self._folder, self._context, self._keep = spin_until, folder, context, keep
        self.volume_path, mask_path = folder / "volume.mha", folder / "mask.png"
        write_volume(self.volume_path, VOLUME_IMAGE)
        cv2.imwrite(str(mask_path), 255 * fan().astype(np.uint8))
        values = {
            "image.rows": SHAPE[0],
            "image.columns": SHAPE[1],
            "image.pixel_size": [float(IMAGE_FROM_PIXEL[0, 0]), float(IMAGE_FROM_PIXEL[1, 1])],
            "mask": str(mask_path),
            "method": "lncc",
        }
        self._parameters = overrides(values | parameters)
        self.node = keep(RegistrationNode(context=context, parameter_overrides=self._parameters))
        self.hand = keep(rclpy.create_node("hand", context=context))
        self.statuses, self.corrections, self._images = [], [], 0
        self._volume = self.hand.create_publisher(String, "volume/file", qos.LATCHED)
        self._image = self.hand.create_publisher(Image, "us/image", qos.IMAGES)
        self._broadcaster = TransformBroadcaster(self.hand)
        self.hand.create_subscription(RegistrationStatus, "registration/status", self.statuses.append, qos.STATUS)
        self.hand.create_subscription(TFMessage, "/tf", self._on_transforms, 100)
        self.until(
            lambda: self._image.get_subscription_count() == 1 and self._broadcaster.pub_tf.get_subscription_count() == 2
        )
        self.until(lambda: self.node.count_subscribers("registration/status") == 1)
        if self.node.active:
            self.until(lambda: self.statuses and self.statuses[-1].state == RegistrationStatus.WAITING)
        self.statuses.clear()

    def _on_transforms(self, message):
        for each in message.transforms:
            if each.child_frame_id == CORRECTED:
                assert each.header.frame_id == VOLUME
                self.corrections.append((nanoseconds(each.header.stamp), transform_from_message(each.transform)))

    def until(self, condition):
        self._spin_until(condition, self.node, self.hand)

    def now(self):
        return self.hand.get_clock().now().nanoseconds

    def send_volume(self, path=None):
        self._volume.publish(String(data=str(path or self.volume_path)))

    def picture(self, pose=POSE):
        """What the machine shows at a pose while the organ is away from rest; never the same twice."""
        self._images += 1
        return cut_frame(VOLUME_IMAGE, pose @ ORGAN, seed=self._images)

    def message(self, stamp, picture=None):
        return image_message(self.picture() if picture is None else picture, "mono8", IMAGE, stamp_message(stamp))

    def send_pose(self, stamp, pose=POSE):
        place = LinkTransform(VOLUME, IMAGE, pose)
        self._broadcaster.sendTransform(transform_messages([place], stamp_message(stamp)))

    def answers(self, count):
        """What was said of images after the first ``count`` statuses; those between may tell that the state changed."""
        return [each for each in self.statuses[count:] if not each.without_image]

    def show(self, stamp=None, pose=POSE, picture=None):
        """One image with its pose; returns its status."""
        stamp = self.now() if stamp is None else stamp
        count = len(self.statuses)
        self.send_pose(stamp, pose)
        self._image.publish(self.message(stamp, self.picture(pose) if picture is None else picture))

        def answers():
            return [each for each in self.answers(count) if nanoseconds(each.header.stamp) == stamp]

        self.until(answers)
        status = answers()[0]
        if status.accepted:
            self.until(lambda: self.corrections and self.corrections[-1][0] == stamp)
        return status

    def send_fixed(self, place):
        """What is said once: a new broadcaster each time, as one ignores what it has said before."""
        StaticTransformBroadcaster(self.hand).sendTransform(transform_messages([place], stamp_message(self.now())))

    def send_image(self, stamp, picture=None):
        """One image without its pose; its status is not awaited."""
        self._image.publish(self.message(stamp, picture))

    def publish(self, message):
        """Any message as an image."""
        self._image.publish(message)

    def restart(self):
        """Kill the node under test, and start it again."""
        self.node.destroy_node()
        self.node = self._keep(RegistrationNode(context=self._context, parameter_overrides=self._parameters))
        self.until(
            lambda: self._image.get_subscription_count() == 1 and self._broadcaster.pub_tf.get_subscription_count() == 2
        )
        self.until(lambda: self.statuses[-1].state == RegistrationStatus.WAITING)

    def show_until(self, condition, **options):
        """Images until a status meets a condition; fails after a minute."""
        deadline = time.monotonic() + 60.0
        while not condition(self.show(**options)):
            assert time.monotonic() < deadline, self.statuses[-1].reason

    def until_ready(self):
        self.show_until(lambda status: status.reason not in PREPARING)

    def until_tracking(self):
        self.show_until(lambda status: status.state == RegistrationStatus.TRACKING)


def black():
    """A picture without anything."""
    return np.zeros(SHAPE, np.uint8)


def expected_correction():
    """us_volume from us_volume_corrected: C^-1 with C = Y X^-1."""
    return inverse(POSE @ ORGAN @ inverse(POSE))
