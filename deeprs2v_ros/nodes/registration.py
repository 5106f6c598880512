"""Node registration: registers every live image to the volume and broadcasts where the organ is now."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from time import monotonic
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import Buffer, TransformException, TransformListener

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, image_centre, seen_from
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.clock import on_jump_back
from deeprs2v_ros.nodes.support.conversions import (
    SECOND,
    covariance_from_pose,
    image_from_message,
    nanoseconds,
    transform_from_message,
    turned_covariance,
)
from deeprs2v_ros.nodes.support.frames import IMAGE, VOLUME
from deeprs2v_ros.nodes.support.inbox import Arrival, ClockJump, Inbox, NewVolume, Stop
from deeprs2v_ros.nodes.support.parameters import (
    declare,
    declare_choice,
    declare_image_time_offset,
    declare_positive,
    declare_settings,
)
from deeprs2v_ros.nodes.support.preparation import Preparation, Recipe
from deeprs2v_ros.nodes.support.results import Results
from deeprs2v_ros.nodes.support.running import run
from deeprs2v_ros.nodes.support.scene import declare_images
from deeprs2v_ros.nodes.support.status import Timing
from deeprs2v_ros.registration.arrivals import FreezeCheck, Refusal, StampCheck
from deeprs2v_ros.registration.methods import DEVICES, LIVE, METHODS, weights_file
from deeprs2v_ros.registration.settings import ABDOMINAL_WALL, OrganMotion, RegistrationSettings
from deeprs2v_ros.registration.supervisor import Supervisor, SupervisorSettings, Verdict
from deeprs2v_ros.registration.tracker import Registration

POLL_PERIOD = 0.002  # s


class RegistrationNode(Node):
    """One thread takes the images and registers the newest; every image received gets exactly one status.

    The executor only queues what arrives, so nothing waits in it. The thread waits for the arm's transform at the stamp
    that the image shows, registers, broadcasts the correction, publishes the status, and only then makes pictures.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("registration", **options)
        self._images = declare_images(self)
        mask_path = declare(self, "mask", "", "Valid area of an image, as an image file; empty: found from the images")
        mask_frames = declare_positive(self, "mask_frames", 10, "Images from which the valid area is found")
        method = declare_choice(self, "method", LIVE, "How images are registered")
        gate = declare_settings(self, "gate", METHODS[method].gate)
        organ = declare_settings(self, "organ", OrganMotion())
        wall = declare(self, "abdominal_wall", ABDOMINAL_WALL, "mm behind the probe's face that do not breathe")
        recipe = Recipe(
            method,
            RegistrationSettings(gate=gate, organ=organ, abdominal_wall=wall),
            declare(self, "weights", "", "Weights of the network: a file, or shipped ones by name; empty: the usual"),
            declare_choice(self, "device", DEVICES, "Where the network computes"),
            declare(self, "temporal", True, "Start each image from the last organ motion"),
        )
        weights_file(recipe.method, recipe.weights or None)  # refused now rather than with the first image
        self._supervisor = Supervisor(declare_settings(self, "trust", SupervisorSettings()))
        self._deadline = declare_positive(self, "transform_deadline", 0.1, "Seconds to wait for the arm's transform")
        self._offset = declare_image_time_offset(self)
        tolerance = declare_positive(self, "future_tolerance", 0.1, "Seconds that a stamp may lie in the future")
        frozen = declare(self, "frozen_distance", 2.0, "mm that the plane may move while the picture stands; 0: any")
        self._image_timeout = declare_positive(self, "image_timeout", 1.0, "Seconds without an image that are too long")

        self._stamps = StampCheck(round(tolerance * SECOND))
        self._centre = image_centre(self._images.shape, self._images.image_from_pixel)
        self._freeze = FreezeCheck(frozen, self._centre)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registration")
        mask = read_mask(mask_path, self._images.shape) if mask_path else None
        self._preparation = Preparation(
            self._pool,
            self._images,
            mask,
            mask_frames,
            recipe,
            self._on_failure,
        )

        self._buffer = Buffer(node=self)
        self._listener = TransformListener(self._buffer, self)
        self._results = Results(self, self._images, self._buffer)
        self._inbox = Inbox()
        self._arm: Array | None = None  # covariance of the tracked pose, once the arm has said it
        self._jumps = self._jumps_before = 0
        self._stopping = Event()
        self._jump = on_jump_back(self, self._on_jump)
        self._thread = Thread(target=self._work, name="registration", daemon=True)
        self._thread.start()
        self.create_subscription(PoseWithCovarianceStamped, "arm/image_pose", self._on_arm, qos.STATUS)
        self.create_subscription(String, "volume/file", self._on_volume, qos.LATCHED)
        self.create_subscription(Image, "us/image", self._on_image, qos.LIVE)

    def destroy_node(self) -> None:
        """Stop the thread first."""
        self._stopping.set()
        self._inbox.put(Stop())
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        super().destroy_node()

    # --- In the executor ---

    def _on_image(self, message: Image) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("the registration thread has ended")
        stamp = nanoseconds(message.header.stamp)
        timing = Timing(stamp, stamp - self._offset, received=self._now())
        self._inbox.put(Arrival(message, timing, monotonic()))

    def _on_arm(self, message: PoseWithCovarianceStamped) -> None:
        about_centre = seen_from(self._centre)
        self._arm = about_centre @ covariance_from_pose(message.pose) @ about_centre.T

    def _on_volume(self, message: String) -> None:
        self._inbox.put(NewVolume(message.data))

    def _on_jump(self) -> None:
        self._jumps += 1
        self._inbox.put(ClockJump())

    # --- In the thread ---

    def _work(self) -> None:
        stale = True
        while True:
            events = self._inbox.take(self._image_timeout)
            if not events and not stale:
                stale = True
                self._on_stale()
            newest: Arrival | None = None
            for event in events:
                if isinstance(event, Stop):
                    return
                if isinstance(event, Arrival):
                    stale = False
                    newest = self._newer(newest, event)
                    continue
                if newest is not None:
                    self._aside(newest.timing, Refusal.CLOCK_JUMP if isinstance(event, ClockJump) else Refusal.STARTING)
                    newest = None
                if isinstance(event, NewVolume):
                    self.get_logger().info(f"volume {event.path}")
                    self._preparation.use_volume(event.path)
                self._start_over()
            if newest is not None:
                self._process(newest)

    def _newer(self, waiting: Arrival | None, arrival: Arrival) -> Arrival | None:
        """Which of two images to go on with; the other one gets its status."""
        refusal = self._stamps.judge(arrival.timing.stamp, arrival.timing.received)
        if refusal:
            self._aside(arrival.timing, refusal)
            return waiting
        if waiting is not None:
            self._aside(waiting.timing, Refusal.SUPERSEDED)
        return arrival

    def _start_over(self) -> None:
        self._supervisor.reset()
        self._stamps.reset()
        self._freeze.reset()
        if self._preparation.ready is not None:
            self._preparation.ready.tracker.reset()

    def _on_stale(self) -> None:
        self._supervisor.stale()
        self.get_logger().warning(f"no images for {self._image_timeout:g} s")
        now = self._now()
        self._aside(Timing(now, now, received=now), Refusal.IMAGE_STALE)

    def _process(self, arrival: Arrival) -> None:
        self._jumps_before = self._jumps
        timing = arrival.timing
        image = self._read(arrival)
        if image is None:
            return
        missing = self._preparation.advance(image)
        if missing:
            self._refuse(timing, missing, image)
            return
        tracked = self._wait_for_transform(timing, arrival.since)
        if tracked is None:
            self._refuse(timing, Refusal.NO_TRANSFORM, image)
            return
        self._supervisor.initialise()
        if self._freeze.frozen(image, tracked):
            self._refuse(timing, Refusal.FROZEN, image, tracked)
            return
        result = self._register(image, tracked)
        timing.correction = self._now()
        self._conclude(timing, self._judge(timing, result), image, tracked, result)

    def _read(self, arrival: Arrival) -> NDArray[np.uint8] | None:
        """Grey levels of an image as it should be; None if it is not, and that has been said."""
        refusal, fault = Refusal.WRONG_SIZE, ""
        try:
            image = image_from_message(arrival.message)
            if image.shape == self._images.shape:
                return image
            fault = f"image of {image.shape} pixels, not {self._images.shape}"
        except InputError as error:
            refusal, fault = Refusal.UNREADABLE, str(error)
        self.get_logger().warning(fault, throttle_duration_sec=2.0)
        self._refuse(arrival.timing, refusal)
        return None

    def _register(self, image: NDArray[np.uint8], tracked: Array) -> Registration | None:
        """The result; None after a failure, which is latched as a fault."""
        assert self._preparation.ready is not None
        future = self._pool.submit(self._preparation.ready.tracker.register_frame, image, tracked, self._arm)
        error = future.exception()
        if error is None:
            return future.result()
        self._fault(error)
        return None

    def _judge(self, timing: Timing, result: Registration | None) -> Verdict:
        if result is None:
            return self._supervisor.bad(timing.stamp, "")
        if result.accepted:
            covariance = turned_covariance(result.covariance, result.registered)
            return self._supervisor.good(timing.stamp, result.motion, covariance)
        verdict = self._supervisor.bad(timing.stamp, result.reason.value)
        if verdict.broadcast is None:  # nothing is trusted any more, the last motion neither
            self._preparation.ready.tracker.reset()
        return verdict

    def _on_failure(self, error: BaseException) -> None:
        """A volume or a mask that cannot be had: bad input is said, everything else is a fault."""
        if isinstance(error, InputError):
            self.get_logger().error(str(error))
        else:
            self._fault(error)

    def _fault(self, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self.get_logger().error(f"FAULT: {reason}")
        self._supervisor.fault(reason)

    def _wait_for_transform(self, timing: Timing, since: float) -> Array | None:
        """volume_from_image (4, 4) mm at the time that the image shows, and at no other; None if it does not come."""
        if timing.shown <= 0:  # before time began; to TF, zero means the latest
            return None
        time = Time(nanoseconds=timing.shown, clock_type=self.get_clock().clock_type)
        patience = self._deadline + max(0, timing.shown - timing.stamp) / SECOND
        while True:
            try:
                found = self._buffer.lookup_transform(VOLUME, IMAGE, time)
            except TransformException:
                if monotonic() - since > patience or self._stopping.wait(POLL_PERIOD):
                    return None
                continue
            timing.transform = self._now()
            return transform_from_message(found.transform)

    def _aside(self, timing: Timing, refusal: Refusal) -> None:
        """An image that is not looked at."""
        self._results.announce(timing, self._supervisor.aside(timing.stamp, refusal.value), self._preparation.ready)

    def _refuse(
        self,
        timing: Timing,
        refusal: Refusal,
        image: NDArray[np.uint8] | None = None,
        tracked: Array | None = None,
    ) -> None:
        self._conclude(timing, self._supervisor.bad(timing.stamp, refusal.value), image, tracked)

    def _conclude(
        self,
        timing: Timing,
        verdict: Verdict,
        image: NDArray[np.uint8] | None,
        tracked: Array | None,
        result: Registration | None = None,
    ) -> None:
        if self._jumps != self._jumps_before:  # of the time before the jump nothing may be broadcast any more
            verdict = self._supervisor.aside(timing.stamp, Refusal.CLOCK_JUMP.value)
        self._results.announce(timing, verdict, self._preparation.ready, image, tracked, result)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds


def main() -> int:
    """Run the node."""
    return run(RegistrationNode)


if __name__ == "__main__":
    sys.exit(main())
