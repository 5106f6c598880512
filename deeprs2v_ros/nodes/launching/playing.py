"""Playing a bag to the nodes."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext
from launch.actions import ExecuteProcess, Shutdown
from launch.events.process import ProcessExited

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.launching.arguments import text, whether
from deeprs2v_ros.nodes.launching.namespaces import absolute

CLOCK = 100
"""Ticks a second: with fewer, images seem to come from the future."""


def player(context: LaunchContext) -> list[ExecuteProcess]:
    """`ros2 bag play` of the bag that is asked for, if one is.

    Only the recorded inputs are played. Everything else, above all the latched topics, is made anew by the nodes.
    Raises InputError for a bag that is not there, and for arguments that are not numbers.
    """
    bag = text(context, "bag")
    if not bag:
        return []
    if not Path(bag).exists():
        raise InputError(f"{bag}: there is no bag")
    rate, offset = _number(context, "rate"), _number(context, "start_offset")
    if rate == 0.0:
        raise InputError("rate: is 0, not a positive number")
    recorded = {f"/{text(context, name).lstrip('/')}": played for name, played in INPUTS.items()}
    command = ["ros2", "bag", "play", bag, "--clock", str(CLOCK), "--rate", f"{rate:g}"]
    command += ["--start-offset", f"{offset:g}"] if offset else []
    command += ["--loop"] if whether(context, "loop") else []
    command += ["--topics", *recorded]
    moved = [
        f"{topic}:={absolute(context, name)}" for topic, name in recorded.items() if topic != absolute(context, name)
    ]
    command += ["--remap", *moved] if moved else []
    return [ExecuteProcess(cmd=command, output="screen", on_exit=_end)]


INPUTS = {"image_topic": "us/image", "joint_topic": "joint_states"}
"""Arguments that name topics of the bag, and what the nodes call them."""


def _number(context: LaunchContext, name: str) -> float:
    """An argument that is a number, not below zero."""
    given = text(context, name)
    try:
        value = float(given)
    except ValueError as error:
        raise InputError(f"{name}: is {given!r}, not a number") from error
    if not 0.0 <= value < float("inf"):
        raise InputError(f"{name}: is {given}, not a positive number")
    return value


def _end(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """Without a bag there is nothing left to do. Raises RuntimeError for one that could not be played."""
    if context.is_shutdown:
        return None
    if event.returncode:
        raise RuntimeError(f"the bag cannot be played, as is said above (status {event.returncode})")
    return Shutdown(reason="the bag is over")
