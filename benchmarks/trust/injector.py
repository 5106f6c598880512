"""The node that stands between the sources and the cart: it passes images and joint states on, and does the faults."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds
from trust.faults import Fault, Going, Place, picture_of, same, with_picture

GRAINS = 16
"""Different noises of at most one grey level, so that no picture comes twice as from a real machine."""


class Injector(Node):
    """Passes on what it hears, as the fault that is going on has it.

    ``sent`` are the stamps of images with the time (s) at which they were sent; ``good_image`` and ``good_joints`` are
    when the last ones were sent while there was no fault.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("injector", **options)
        self.sent: list[tuple[float, int]] = []
        self.good_image = self.good_joints = 0.0
        self._fault: Fault | None = None
        self._until = 0.0
        self._number = 0
        self._grains: list[np.ndarray] = []
        self._images = self.create_publisher(Image, "us/image", qos.IMAGES)
        self._joints = self.create_publisher(JointState, "joint_states", qos.JOINTS)
        self._others = {
            "/tf": self.create_publisher(TFMessage, "/tf", qos.TRANSFORMS),
            "/tf_static": self.create_publisher(TFMessage, "/tf_static", qos.FIXED_TRANSFORMS),
            "arm/image_pose": self.create_publisher(PoseWithCovarianceStamped, "arm/image_pose", qos.STATUS),
            "volume/file": self.create_publisher(String, "volume/file", qos.LATCHED),
        }
        self.create_subscription(Image, "us/image_raw", self._on_image, qos.IMAGES)
        self.create_subscription(JointState, "joint_states_raw", self._on_joints, qos.JOINTS)

    def begin(self, fault: Fault, place: Place) -> None:
        """Do a fault from now on."""
        now = time.time()
        self._going, self._until = Going(place, began=round(now * 1e9)), now + fault.seconds
        self._say(fault.first(self._going))
        self._fault = fault

    def end(self) -> None:
        """Only pass on from now on."""
        fault, self._fault = self._fault, None
        self._say(fault.last(self._going))

    def _on_image(self, image: Image) -> None:
        now, fault = time.time(), self._fault
        with_picture(image, self._grainy(picture_of(image)))
        for each in same(image, None) if fault is None else fault.images(image, self._during(now)):
            self.sent.append((now, nanoseconds(each.header.stamp)))
            self._images.publish(each)
        if fault is None:
            self.good_image = now

    def _on_joints(self, joints: JointState) -> None:
        now, fault = time.time(), self._fault
        if fault is None:
            self._joints.publish(joints)
            self.good_joints = now
            return
        going = self._during(now)
        for each in fault.joints(joints, going):
            self._joints.publish(each)
        self._say(fault.also(going))

    def _during(self, now: float) -> Going:
        self._going.elapsed, self._going.left = now - self._going.began / 1e9, max(self._until - now, 0.0)
        return self._going

    def _say(self, messages: Any) -> None:
        for topic, message in messages:
            self._others[topic].publish(message)

    def _grainy(self, picture: np.ndarray) -> np.ndarray:
        if not self._grains:
            rng = np.random.default_rng(0)
            self._grains = [rng.integers(0, 2, picture.shape, dtype=np.uint8) for _ in range(GRAINS)]
        self._number += 1
        return np.where(picture > 0, picture ^ self._grains[self._number % GRAINS], 0).astype(np.uint8)
