"""Node registration: registers every live image to the volume and broadcasts where the organ is now."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock, Thread
from time import monotonic, monotonic_ns
from typing import Any

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.nodes.running.clock import on_jump_back
from deeprs2v_ros.nodes.running.diagnostics import ERROR, OK, WARN, Condition, Diagnostics
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.mailbox import Mailbox
from deeprs2v_ros.nodes.running.managed import ManagedNode
from deeprs2v_ros.nodes.running.parameters import declare
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.sources.scene import declare_images
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import image_from_message, nanoseconds
from deeprs2v_ros.nodes.topics.live_images import LiveImages
from deeprs2v_ros.nodes.topics.results import Results
from deeprs2v_ros.nodes.topics.tracked_plane import TrackedPlane
from deeprs2v_ros.parameters import guidance as parameters
from deeprs2v_ros.registration.arrivals import Arrival, Refusal
from deeprs2v_ros.registration.guidance import Clock, Guidance, Outcome
from deeprs2v_ros.registration.supervisor import State

WATCH_PERIOD = 0.05  # s: how soon it is noticed that images have stopped


class RegistrationNode(ManagedNode):
    """Topics in, `Guidance`, topics out. Every image received gets exactly one status.

    The executor only leaves the newest image for the one thread that registers. That waits for the arm's transform at
    the time that the image shows, registers, broadcasts the correction, and publishes the status.
    Where the organ is predicted to be, and what becomes true without an image, is said by the executor's timers,
    whatever the thread is at.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        # First of all: rclpy destroys a node as well that could not be made.
        self._stopping = Event()
        self._thread = Thread(target=self._work, name="registration", daemon=True)
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
        super().__init__("registration", **options)
        self._images = declare_images(self)
        given = partial(declare, self)
        self._mask = parameters.declare_mask(given)
        self._recipe, self._settings = parameters.declare_recipe(given), parameters.declare_guidance(given)
        self._deadline = parameters.declare_transform_deadline(given)
        rate = parameters.declare_prediction_rate(given)
        self._plane = TrackedPlane(self, self._images.centre)
        self._results = Results(self, self._images.centre)
        self._guidance: Guidance | None = None
        self._volume = ""
        self._announcing = Lock()  # meanwhile nothing starts over
        self._mailbox: Mailbox[tuple[Guidance, Image, Arrival, float]] = Mailbox()
        self._jump = on_jump_back(self, self._on_jump)
        self.create_subscription(String, "volume/file", self._on_volume, qos.LATCHED)
        self._live = LiveImages(self, self._on_image)
        self.create_timer(1.0 / rate, self._predict)
        self.create_timer(WATCH_PERIOD, self._watch, clock=RosClock(clock_type=ClockType.STEADY_TIME))
        for name in ("start", "stop", "reset", "clear_fault"):
            self.create_service(Trigger, f"registration/{name}", partial(self._serve, getattr(self, f"_{name}")))
        self._diagnostics = Diagnostics(self, self._condition)
        self.start_by_itself()
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the threads first. What they are at in the background nobody waits for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._plane.give_up()
            self._thread.join()
        self._background.shutdown(wait=False, cancel_futures=True)
        super().destroy_node()

    # --- Lifecycle ---

    def configure(self) -> None:
        """Make the pipeline. Raises InputError for a mask that cannot be read."""
        self._guidance = Guidance(
            self._images,
            read_mask(self._mask, self._images.shape) if self._mask else None,
            self._recipe,
            self._settings,
            Clock(self._now, monotonic_ns),
            self._background,
            lambda line: self.get_logger().warning(line, throttle_duration_sec=2.0),
        )
        if self._volume:
            self._guidance.on_volume(self._volume)
        self._results.say(State.INACTIVE, self._now())

    def activate(self) -> None:
        """Register from now on."""
        self._guidance.start()

    def deactivate(self) -> None:
        """Register, and show, nothing from now on."""
        self._start_over(self._guidance.stop)

    def clean_up(self) -> None:
        """Give the pipeline up."""
        with self._announcing:
            self._guidance = None
            self._results.say(State.UNCONFIGURED, self._now())

    # --- Services ---

    def _serve(self, action: Callable[[], str], _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message, response.success = action(), True
        except InputError as error:
            response.message = str(error)
        except Exception as error:  # what a step could not do, the node has logged; it lives on
            response.message = f"{type(error).__name__}: {error}"
        self.get_logger().info(f"asked to{action.__name__.replace('_', ' ')}: {response.message}")
        return response

    def _start(self) -> str:
        if self.active:
            return "it was running already"
        self.bring_up()
        return "running"

    def _stop(self) -> str:
        if not self.active:
            return "it was not running"
        self.bring_down()
        return "stopped"

    def _reset(self) -> str:
        self._start_over(self._running().reset)
        return "started over"

    def _clear_fault(self) -> str:
        with self._announcing:
            if not self._running().clear_fault():
                raise InputError("there is no fault")
        return "started over after a fault"

    def _running(self) -> Guidance:
        if self._guidance is None:
            raise InputError("it is not configured")
        return self._guidance

    # --- In the executor ---

    def _on_image(self, message: Image) -> None:
        guidance, stamp = self._guidance, nanoseconds(message.header.stamp)
        if guidance is None:
            self._results.say(State.UNCONFIGURED, self._now(), stamp)
            return
        with self._announcing:
            arrival = guidance.receive(stamp)
            if arrival.refusal:
                self._results.announce(guidance.aside(arrival))
                return
            replaced = self._mailbox.put((guidance, message, arrival, monotonic()))
            if replaced is not None:
                self._results.announce(guidance.aside(replaced[2], Refusal.SUPERSEDED))

    def _on_volume(self, message: String) -> None:
        self.get_logger().info(f"volume {message.data or 'withdrawn'}")
        self._volume = message.data
        if self._guidance is not None:
            self._start_over(partial(self._guidance.on_volume, message.data))

    def _on_jump(self) -> None:
        if self._guidance is not None:
            self._start_over(self._guidance.on_jump)

    def _start_over(self, action: Callable[[], None]) -> None:
        with self._announcing:
            action()

    def _predict(self) -> None:
        guidance = self._guidance
        if guidance is None:
            return
        with self._announcing:
            if self._plane.moved():
                guidance.on_moved_volume()
        now = self._now()
        self._results.predict(guidance.at(now), now)

    def _watch(self) -> None:
        guidance = self._guidance
        if guidance is None:
            return
        with self._announcing:
            news = guidance.watch()
            if news is not None:
                self._results.announce(news)

    def _condition(self) -> Condition:
        state, why = self._results.said
        level = {State.TRACKING: OK, State.INACTIVE: OK, State.LOST: ERROR, State.FAULT: ERROR}.get(state, WARN)
        inflows = {**self._results.inflow.values("images"), **self._plane.inflow.values("arm poses")}
        return Condition(level, f"{state.name}: {why}" if why else state.name, {"state": state.name, **inflows})

    # --- In the thread ---

    def _work(self) -> None:
        while not self._stopping.is_set():
            taken = self._mailbox.take(WATCH_PERIOD)
            if taken is not None:
                self._register(*taken)

    def _register(self, guidance: Guidance, message: Image, arrival: Arrival, since: float) -> None:
        # Whatever goes wrong: without this thread nothing may be shown as right.
        try:
            outcome = self._process(guidance, message, arrival, since)
        except Exception as error:
            guidance.fault(error)
            outcome = guidance.aside(arrival)
        try:
            self._announce(guidance, outcome)
        except Exception as error:
            guidance.fault(error)

    def _process(self, guidance: Guidance, message: Image, arrival: Arrival, since: float) -> Outcome:
        try:
            image = image_from_message(message)
        except InputError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=2.0)
            return guidance.refuse(arrival, Refusal.UNREADABLE)
        ahead = max(0, arrival.shown - arrival.stamp) / 1e9
        until = since + self._deadline + ahead
        return guidance.on_image(arrival, image, lambda time: self._plane.locate(time, until), self._plane.covariance)

    def _announce(self, guidance: Guidance, outcome: Outcome) -> None:
        """Say what became of an image, unless everything has started over since."""
        with self._announcing:
            if self._guidance is None:  # it was given up meanwhile
                self._results.say(State.UNCONFIGURED, self._now(), outcome.arrival.stamp)
                return
            if self._guidance is not guidance:  # and another one was made
                self._results.announce(self._guidance.aside(outcome.arrival, Refusal.INACTIVE))
                return
            if self._plane.moved():
                guidance.on_moved_volume()
            outcome = guidance.still_true(outcome)
            self._results.announce(outcome)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds


def main() -> int:
    """Run the node."""
    return run(RegistrationNode)


if __name__ == "__main__":
    leave(main())
