"""Node ultrasound_source: live images, from a simulated cart, a recorded sequence, or a frame grabber."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from sensor_msgs.msg import Image

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE, IMAGE, VOLUME
from deeprs2v_ros.nodes.running.diagnostics import ERROR, OK, WARN, Condition, Diagnostics, Inflow
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.parameters import declare, declare_choice, declare_path
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.sources.images import Frame, ImageSource, SceneSource, SequenceSource, VideoSource
from deeprs2v_ros.nodes.sources.scene import declare_cart, declare_images
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import (
    SECOND,
    image_message,
    point_message,
    stamp_message,
    transform_messages,
)
from deeprs2v_ros.nodes.topics.transforms import Broadcaster

LONGEST_WAIT = 0.05  # s: how soon a clock that jumps or a node that ends is noticed
SILENT = 1.0  # s without an image after which it is said
RETRY_PERIOD = 0.5  # s: how often a source in trouble is asked again


class UltrasoundSource(Node):
    """Publishes ``us/image``, stamped with the moment of acquisition.

    A thread makes images ahead of time and publishes each when its time has come. Those that cannot be ready in time
    are left out.

    ``inflow`` counts the images; ``trouble`` says why there are none at present, and is empty otherwise.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("ultrasound_source", **options)
        # First of all, since rclpy also destroys nodes that could not be made.
        self._stopping = Event()
        self._thread = Thread(target=self._work, name="ultrasound_source", daemon=True)
        self.inflow, self.trouble = Inflow(), ""
        self._images = declare_images(self)
        self._source = self._declare_source()
        self._publisher = self.create_publisher(Image, "us/image", qos.IMAGES)
        self._truth = self.create_publisher(PointStamped, "simulation/target", qos.STATUS)
        self._broadcaster = Broadcaster(self)
        self._diagnostics = Diagnostics(self, self._condition)
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the thread first."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        super().destroy_node()

    def _declare_source(self) -> ImageSource:
        kind = declare_choice(self, "source", ("scene", "sequence", "video"), "Where the images come from")
        if kind == "scene":
            cart = declare_cart(self, self._images)
            if cart is None:
                raise InputError("parameter source: is scene, but scene.kind is none")
            return SceneSource(cart)
        if kind == "sequence":
            path = declare_path(self, "sequence", "Tracked sequence to play in a loop (.igs.mha, .igs.nrrd)")
            return SequenceSource(path, self._images.shape, self._images.pixel_size)
        return VideoSource(
            declare(self, "video.device", "0", "Capture device (number or path), address of a stream, or video file"),
            declare_choice(self, "video.flip", ("none", "horizontal", "vertical", "both"), "How images are mirrored"),
            tuple(
                declare(
                    self,
                    "video.crop",
                    [0, 0, 0, 0],
                    "Part of the picture to use: [left, top, width, height] in pixels; zeros: all",
                )
            ),
            self._images.shape,
        )

    def _work(self) -> None:
        while not self._stopping.is_set():
            frame = self._source.next(self._now)
            self._say(self._source.trouble or self._rival())
            if frame is None or self.trouble:
                self._stopping.wait(RETRY_PERIOD)
            elif self._wait_until(frame.stamp):
                self._publish(frame)

    def _rival(self) -> str:
        """Whether another node broadcasts us_image while a sequence does: with two parents of a frame TF is no use."""
        if isinstance(self._source, SequenceSource) and self.count_publishers("arm/image_pose"):
            return "a sequence brings its own poses, and arm_kinematics broadcasts those of the arm: end one of the two"
        return ""

    def _condition(self) -> Condition:
        values = self.inflow.values("images")
        if self.trouble:
            return Condition(ERROR, self.trouble, values)
        silence = self.inflow.silence()
        if silence is None or silence > SILENT:
            return Condition(WARN, "no images", values)
        return Condition(OK, f"images from {self._source}", values)

    def _say(self, trouble: str) -> None:
        """Log trouble once when it begins, and once when it is over."""
        if trouble and trouble != self.trouble:
            self.get_logger().error(trouble)
        elif self.trouble and not trouble:
            self.get_logger().info(f"over: {self.trouble}")
        self.trouble = trouble

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _wait_until(self, stamp: int) -> bool:
        """Wait for the node's clock; False when the node ends or the clock jumped back meanwhile."""
        earliest = self._now()
        while not self._stopping.is_set():
            now = self._now()
            if now >= stamp:
                return True
            if now < earliest:
                return False
            earliest = now
            self._stopping.wait(min((stamp - now) / SECOND, LONGEST_WAIT))
        return False

    def _publish(self, frame: Frame) -> None:
        stamp = stamp_message(frame.stamp)
        if frame.volume_from_image is not None:
            place = LinkTransform(VOLUME, IMAGE, frame.volume_from_image)
            self._broadcaster.sendTransform(transform_messages([place], stamp))
        self._publisher.publish(image_message(frame.image, "mono8", IMAGE, stamp))
        self.inflow.count()
        if frame.target_in_base is not None:
            self._truth.publish(point_message(frame.target_in_base, BASE, stamp))


def main() -> int:
    """Run the node."""
    return run(UltrasoundSource)


if __name__ == "__main__":
    leave(main())
