"""Node registration: registers every live image to the volume and broadcasts where the organ is now."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock, Thread
from time import monotonic, monotonic_ns
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import TransformException

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import IMAGE, VOLUME
from deeprs2v_ros.geometry import Array, seen_from
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.clock import on_jump_back
from deeprs2v_ros.nodes.support.conversions import (
    covariance_from_pose,
    image_from_message,
    nanoseconds,
    transform_from_message,
)
from deeprs2v_ros.nodes.support.mailbox import Mailbox
from deeprs2v_ros.nodes.support.parameters import declare
from deeprs2v_ros.nodes.support.results import Results
from deeprs2v_ros.nodes.support.running import run
from deeprs2v_ros.nodes.support.scene import declare_images
from deeprs2v_ros.nodes.support.transforms import transforms_of
from deeprs2v_ros.parameters import guidance as parameters
from deeprs2v_ros.registration.arrivals import Refusal
from deeprs2v_ros.registration.guidance import Arrival, Clock, Guidance, Outcome

WATCH_PERIOD = 0.05  # s: how soon it is noticed that images have stopped


class RegistrationNode(Node):
    """Topics in, `Guidance`, topics out. Every image received gets exactly one status.

    The executor only leaves the newest image for the one thread that registers. That waits for the arm's transform at
    the time that the image shows, registers, broadcasts the correction, publishes the status, and then makes pictures.
    Where the organ is predicted to be is broadcast by the executor's timer, whatever the thread is at.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("registration", **options)
        images = declare_images(self)
        self._centre = images.centre
        given = partial(declare, self)
        mask = parameters.declare_mask(given)
        recipe, settings = parameters.declare_recipe(given), parameters.declare_guidance(given)
        self._deadline = parameters.declare_transform_deadline(given)
        rate = parameters.declare_prediction_rate(given)
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
        self._guidance = Guidance(
            images,
            read_mask(mask, images.shape) if mask else None,
            recipe,
            settings,
            Clock(self._now, monotonic_ns),
            self._background,
            lambda line: self.get_logger().warning(line, throttle_duration_sec=2.0),
        )
        transforms, self._news = transforms_of(self), Event()
        transforms.on_change(self._news.set)
        self._buffer = transforms.buffer
        self._results = Results(self, images, self._buffer)
        self._arm: Array | None = None  # covariance of the tracked pose, once the arm has said it
        self._starting_over = Lock()
        self._mailbox: Mailbox[tuple[Image, Arrival, float]] = Mailbox()
        self._stopping = Event()
        self._thread = Thread(target=self._work, name="registration", daemon=True)
        self._thread.start()
        self._jump = on_jump_back(self, self._on_jump)
        self.create_subscription(PoseWithCovarianceStamped, "arm/image_pose", self._on_arm, qos.STATUS)
        self.create_subscription(String, "volume/file", self._on_volume, qos.LATCHED)
        self.create_subscription(Image, "us/image", self._on_image, qos.LIVE)
        self.create_timer(1.0 / rate, self._on_timer)

    def destroy_node(self) -> None:
        """Stop the threads first."""
        self._stopping.set()
        self._news.set()
        self._thread.join()
        self._background.shutdown(cancel_futures=True)
        super().destroy_node()

    # --- In the executor ---

    def _on_image(self, message: Image) -> None:
        arrival = self._guidance.receive(nanoseconds(message.header.stamp))
        if arrival.refusal:
            self._results.announce(self._guidance.aside(arrival))
            return
        replaced = self._mailbox.put((message, arrival, monotonic()))
        if replaced is not None:
            self._results.announce(self._guidance.aside(replaced[1], Refusal.SUPERSEDED))

    def _on_arm(self, message: PoseWithCovarianceStamped) -> None:
        about_centre = seen_from(self._centre)
        try:
            self._arm = about_centre @ covariance_from_pose(message.pose) @ about_centre.T
        except InputError as error:
            self.get_logger().warning(f"arm/image_pose refused: {error}", throttle_duration_sec=2.0)

    def _on_volume(self, message: String) -> None:
        self.get_logger().info(f"volume {message.data}")
        with self._starting_over:
            self._guidance.on_volume(message.data)

    def _on_jump(self) -> None:
        with self._starting_over:
            self._guidance.on_jump()

    def _on_timer(self) -> None:
        now = self._now()
        self._results.predict(self._guidance.at(now), now)

    # --- In the thread ---

    def _work(self) -> None:
        while not self._stopping.is_set():
            taken = self._mailbox.take(WATCH_PERIOD)
            try:
                if taken is not None:
                    self._announce(self._process(*taken))
                stale = self._guidance.watch()
                if stale is not None:
                    self._announce(stale)
            except Exception as error:  # whatever it was: without this thread nothing may be shown as right
                self._guidance.fault(error)

    def _announce(self, outcome: Outcome) -> None:
        """Say what became of an image, unless everything has started over since; meanwhile it cannot."""
        with self._starting_over:
            self._results.announce(self._guidance.still_true(outcome))

    def _process(self, message: Image, arrival: Arrival, since: float) -> Outcome:
        try:
            image = image_from_message(message)
        except InputError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=2.0)
            return self._guidance.refuse(arrival, Refusal.UNREADABLE)
        ahead = max(0, arrival.shown - arrival.stamp) / 1e9
        until = since + self._deadline + ahead
        return self._guidance.on_image(arrival, image, lambda time: self._locate(time, until), self._arm)

    def _locate(self, time: int, until: float) -> Array | None:
        """volume_from_image (4, 4) mm at ``time``; None if it does not come ``until`` then, on the steady clock."""
        if time <= 0:  # before time began; to TF, zero means the latest
            return None
        stamp = Time(nanoseconds=time, clock_type=self.get_clock().clock_type)
        while not self._buffer.can_transform(VOLUME, IMAGE, stamp):
            patience = until - monotonic()
            if patience <= 0.0 or self._stopping.is_set():
                return None
            self._news.wait(patience)
            self._news.clear()
        try:
            return transform_from_message(self._buffer.lookup_transform(VOLUME, IMAGE, stamp).transform)
        except (TransformException, InputError):  # a clock that jumps clears the buffer at any moment; or it is none
            return None

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds


def main() -> int:
    """Run the node."""
    return run(RegistrationNode)


if __name__ == "__main__":
    sys.exit(main())
