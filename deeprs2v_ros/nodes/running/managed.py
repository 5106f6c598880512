"""Nodes with a lifecycle. By default they configure and activate themselves, so that nobody has to know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.running.parameters import declare


class ManagedNode(LifecycleNode):
    """UNCONFIGURED, INACTIVE and ACTIVE, as in ROS 2's design of managed nodes, with its services.

    A subclass says what is done on the way from one to the next, and ends its constructor with `start_by_itself`. If
    that raises InputError, the state stays, and the reason is logged.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._autostart = declare(self, "autostart", True, "Whether the node configures and activates itself")
        self.configured = self.active = False
        self._failure: Exception

    # --- What a node of this kind does ---

    def configure(self) -> None:
        """Read what is needed, and get ready. Raises InputError if that fails."""

    def activate(self) -> None:
        """Begin the node's work."""

    def deactivate(self) -> None:
        """Stop, but stay ready."""

    def clean_up(self) -> None:
        """Give back what `configure` took."""

    # --- Getting there ---

    def start_by_itself(self) -> None:
        """Configure and activate, if ``autostart`` says so. Raises what went wrong."""
        if self._autostart:
            self.bring_up()

    def bring_up(self) -> None:
        """Configure, unless that is done, and activate. Raises what went wrong, InputError after a shutdown."""
        if not self.configured:
            self._go(self.trigger_configure)
        if not self.active:
            self._go(self.trigger_activate)

    def bring_down(self) -> None:
        """Deactivate, if active."""
        if self.active:
            self.trigger_deactivate()

    def _go(self, trigger: Callable[[], TransitionCallbackReturn]) -> None:
        self._failure = InputError("the node was shut down")
        if trigger() is not TransitionCallbackReturn.SUCCESS:
            raise self._failure

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        return self._take(self.configure, configured=True)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        return self._take(self.activate, active=True)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        return self._take(self.deactivate, active=False)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        return self._take(self.clean_up, configured=False)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy, in any state."""
        self.give_up()
        return TransitionCallbackReturn.SUCCESS

    def give_up(self) -> None:
        """Go back to where nothing is configured, without a transition."""
        if self.active:
            self._take(self.deactivate, active=False)
        if self.configured:
            self._take(self.clean_up, configured=False)

    def _take(self, step: Callable[[], None], **reached: bool) -> TransitionCallbackReturn:
        try:
            step()
        except Exception as error:  # rclpy would swallow it
            self._failure = error
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.get_logger().error(f"cannot {step.__name__.replace('_', ' ')}: {kind}{error}")
            return TransitionCallbackReturn.FAILURE
        for name, value in reached.items():
            setattr(self, name, value)
        return TransitionCallbackReturn.SUCCESS
