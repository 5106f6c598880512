"""Node guidance_view: what the physician looks at, as pictures and in 3D."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from time import monotonic
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import String

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.running.clock import on_jump_back
from deeprs2v_ros.nodes.running.diagnostics import OK, WARN, Condition, Diagnostics, Inflow
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.mailbox import Mailbox
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.sources.patient import declare_patient
from deeprs2v_ros.nodes.sources.scene import declare_images
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import image_from_message, nanoseconds
from deeprs2v_ros.nodes.topics.live_images import LiveImages
from deeprs2v_ros.nodes.topics.views import Views
from deeprs2v_ros.registration.arrivals import Refusal
from deeprs2v_ros.view.pictures import Sight
from deeprs2v_ros.view.sights import sight_of, silent

OUT_OF_DATE = 0.5
"""Seconds after which what is drawn is true no more, unless something renews it."""

WATCH_PERIOD = 0.1
REPEATED = 1.0
"""Seconds after which what has not changed is shown again, for those who came later."""

SHOWN = (RegistrationStatus.TRACKING, RegistrationStatus.HOLDING)
KEPT = 30
"""Images that wait for what the registration says of them."""


class GuidanceView(Node):
    """Shows every image with what the registration says of it; the newest one, if there is no time for all.

    Images are received only while somebody looks, and only what is looked at is drawn. What no status renews goes away
    by itself. It is meant for a process of its own: drawing must not hold up what is waited for.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        # First of all: rclpy destroys a node as well that could not be made.
        self._stopping = Event()
        self._thread = Thread(target=self._work, name="guidance_view", daemon=True)
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="patient")
        super().__init__("guidance_view", **options)
        self._images = declare_images(self)
        self._patient = declare_patient(self, self._images)
        self._views = Views(self, self._images)
        self._mailbox: Mailbox[tuple[Image | None, RegistrationStatus | None]] = Mailbox()
        self._waiting: OrderedDict[int, Image] = OrderedDict()
        self._early: RegistrationStatus | None = None  # whose image has not come yet
        self._last: Sight | None = None
        self._heard = self._shown = 0.0
        self._statuses = Inflow()
        self._live: LiveImages | None = None
        self.create_subscription(RegistrationStatus, "registration/status", self._on_status, qos.STATUS)
        self.create_subscription(String, "volume/file", self._on_volume, qos.LATCHED)
        self.create_timer(WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._jump = on_jump_back(self, self._forget)
        self._diagnostics = Diagnostics(self, self._condition)
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the threads first."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._background.shutdown(wait=False, cancel_futures=True)
        super().destroy_node()

    # --- In the executor ---

    def _on_image(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        early, self._early = self._early, None
        if early is not None and nanoseconds(early.header.stamp) == stamp:
            self._mailbox.put((message, early))
            return
        self._waiting[stamp] = message
        while len(self._waiting) > KEPT:
            self._waiting.popitem(last=False)

    def _on_status(self, status: RegistrationStatus) -> None:
        self._statuses.count()
        self._heard = monotonic()
        if status.reason == Refusal.SUPERSEDED.value:  # a newer one is at work
            return
        message = None if status.without_image else self._waiting.pop(nanoseconds(status.header.stamp), None)
        if message is None and status.state in SHOWN and not status.without_image:
            self._early = status  # what it says may not be drawn on another image
        else:
            self._mailbox.put((message, status))

    def _on_volume(self, message: String) -> None:
        self._background.submit(self._patient.use_volume, message.data)

    def _forget(self) -> None:
        self._waiting.clear()
        self._early = None

    def _watch(self) -> None:
        if self._views.wanted and self._live is None:
            self._live = LiveImages(self, self._on_image)
        elif self._live is not None and not self._views.wanted:
            self._live.end()
            self._live = None
        now = monotonic()
        unheard = now - self._heard > OUT_OF_DATE
        believed = self._last is not None and self._last.believed and now - self._shown > OUT_OF_DATE
        if believed or (unheard and now - self._shown > REPEATED):
            self._mailbox.put((None, None))

    def _condition(self) -> Condition:
        values = {**self._statuses.values("statuses"), "structures": len(self._patient.scenery.structures)}
        if self._patient.trouble:
            return Condition(WARN, self._patient.trouble, values)
        return Condition(OK, "shows what is said", values)

    # --- In the thread ---

    def _work(self) -> None:
        while not self._stopping.is_set():
            taken = self._mailbox.take(WATCH_PERIOD)
            if taken is not None:
                self._show(*taken)

    def _show(self, message: Image | None, status: RegistrationStatus | None) -> None:
        try:
            frame = self._last.frame if message is None and self._last is not None else self._read(message)
            if frame is None:
                return
            if message is not None:
                self._patient.see(frame)
            sight = silent(frame) if status is None else sight_of(status, frame, self._images.centre)
            self._last = sight
            self._views.show(sight, self._patient.now(), message)
        except Exception as error:  # a picture that cannot be made must not end all others
            self.get_logger().error(f"{type(error).__name__}: {error}", throttle_duration_sec=2.0)
        self._shown = monotonic()

    def _read(self, message: Image | None) -> Any:
        if message is None:
            return None
        try:
            image = image_from_message(message)
        except InputError:  # the registration says so
            return None
        return image if image.shape == self._images.shape else None


def main() -> int:
    """Run the node."""
    os.nice(10)  # whatever else there is to do goes first
    return run(GuidanceView)


if __name__ == "__main__":
    leave(main())
