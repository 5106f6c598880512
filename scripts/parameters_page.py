"""Writes docs/parameters.md: every parameter of every node, as the nodes declare them. Needs ROS and the built package.

python scripts/parameters_page.py           # writes the page
python scripts/parameters_page.py --check   # exit status 1 if the page is not what the nodes declare
"""

from __future__ import annotations

import argparse
import gc
import importlib
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import clear_frames
from typing import Any

import rclpy
import yaml
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters.names import NAMES

PAGE = Path(__file__).resolve().parents[1] / "docs/parameters.md"

_ORDER = (
    "arm_encoders",
    "arm_kinematics",
    "ultrasound_source",
    "volume_server",
    "registration",
    "guidance_view",
    "target_monitor",
    "health",
)
"""Nodes in the order in which data goes through them; others follow."""

_GIVEN = {"method": "lncc", "log.file": "none", "serial.port": "none", "sequence": "none"}
"""What makes a node go on declaring: lncc needs no network, and without these paths a node refuses to start."""

_HEAD = """# Parameters

*Written by `python scripts/parameters_page.py` from what the nodes declare. Do not edit it: change the code.*

Which of them to set for a cart, and in which order: [setting up a cart](cart.md). What goes wrong when one is off is
explained beside it in [`config/cart.yaml`](../config/cart.yaml).

- **type**: a double needs a decimal point, `10.0`, not `10`.
- **default**: "-" where the parameter may be left out and then has no value.
- Parameters are read when a node starts and then stay as they are. Those marked \\* may be changed while it runs, by
  `ros2 param set` or a [service](nodes.md#starting-stopping-changing).
"""


@dataclass(frozen=True)
class Declared:
    """One parameter as a node declares it; ``allowed`` is empty where any value of the ``type`` can be met."""

    name: str
    type: str
    default: str
    allowed: str
    description: str
    read_only: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    check = parser.parse_args(arguments).check
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    context = Context()
    rclpy.init(context=context, args=["--ros-args", "--log-level", "fatal"], domain_id=1 + os.getpid() % 100)
    try:
        text = page(context)
    finally:
        rclpy.shutdown(context=context)
    if check:
        return 0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page(context: Context) -> str:
    """The text of the page, from nodes that are made in the ROS ``context``."""
    nodes = sorted(NAMES, key=lambda node: (_ORDER.index(node) if node in _ORDER else len(_ORDER), node))
    declared = {node: declarations(node, context) for node in nodes}
    owners: dict[Declared, list[str]] = {}
    for node, parameters in declared.items():
        for each in parameters:
            owners.setdefault(each, []).append(node)
    shared = [each for each, names in owners.items() if len(names) > 1]
    sections = [_HEAD, "## Of several nodes", "", "Give them under `/**`, so that all nodes have the same.", ""]
    sections += _table(shared)
    for node, parameters in declared.items():
        own = [each for each in parameters if each not in shared]
        also = ", ".join(f"`{each.name}`" for each in parameters if each in shared)
        sections += ["", f"## `{node}`", ""]
        sections += [f"Also, from the table above: {also}.", ""] if also else []
        sections += _table(own)
    return "\n".join(sections) + "\n"


def declarations(node: str, context: Context) -> list[Declared]:
    """All parameters that the ``node`` declares, in that order, however it is told to get its data.

    Raises RuntimeError where they are not those that the table of names knows.
    """
    known = NAMES[node]
    module = importlib.import_module(f"deeprs2v_ros.nodes.{node}")
    (node_class,) = (each for each in vars(module).values() if _is_made_in(each, module.__name__))
    found: dict[str, Declared] = {}
    base = {name: value for name, value in _GIVEN.items() if name in known}
    scenes = ("none", "recorded") if "scene.kind" in known else (None,)
    sources: Sequence[str | None] = (None,)
    if "source" in known:
        with _recording(found):
            _make(node_class, context, base)
        sources = found["source"].allowed.split(", ")
    for source, scene in itertools.product(sources, scenes):
        chosen = {"source": source, "scene.kind": scene}
        with _recording(found):
            _make(node_class, context, base | {name: value for name, value in chosen.items() if value})
    parameters = [each for name, each in found.items() if name in known]
    missing = known - set(found)
    if missing:
        raise RuntimeError(f"{node}: does not declare {', '.join(sorted(missing))}")
    return parameters


def _is_made_in(thing: object, module: str) -> bool:
    return isinstance(thing, type) and issubclass(thing, Node) and thing.__module__ == module


def _make(node_class: type, context: Context, values: dict[str, str]) -> None:
    """Make a node and destroy it; one that refuses its parameters has declared them before."""
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    try:
        node_class(context=context, parameter_overrides=overrides).destroy_node()
    except InputError as error:
        clear_frames(error.__traceback__)  # or what there is of the node would be destroyed as if it were whole
    gc.collect()


@contextmanager
def _recording(found: dict[str, Declared]) -> Iterator[None]:
    """Within it, what nodes declare is added to ``found``."""
    original = Node.declare_parameter

    def declare_parameter(self: Node, name: str, value: Any = None, descriptor: Any = None, *more: Any) -> Parameter:
        if descriptor is not None:
            found.setdefault(
                name,
                Declared(
                    name,
                    _type(value),
                    "-" if isinstance(value, Parameter.Type) else _written(value),
                    descriptor.additional_constraints,
                    descriptor.description.rstrip("."),
                    descriptor.read_only,
                ),
            )
        return original(self, name, value, descriptor, *more)

    Node.declare_parameter = declare_parameter
    try:
        yield
    finally:
        Node.declare_parameter = original


_TYPES = {bool: "bool", int: "int", float: "double", str: "string"}
_LISTS = {Parameter.Type.DOUBLE_ARRAY: "doubles", Parameter.Type.STRING_ARRAY: "strings"}


def _type(default: Any) -> str:
    if isinstance(default, Parameter.Type):
        return _LISTS[default]
    if isinstance(default, list | tuple):
        return f"{_TYPES[type(default[0])]}s"
    return _TYPES[type(default)]


def _written(value: Any) -> str:
    """As in a parameter file."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str):
        return value if value and yaml.safe_load(value) == value else f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(parameters: Sequence[Declared]) -> list[str]:
    lines = ["| parameter | type | default | allowed | meaning |", "|---|---|---|---|---|"]
    for each in parameters:
        name = f"`{each.name}`" + ("" if each.read_only else " \\*")
        cells = (name, each.type, f"`{each.default}`" if each.default != "-" else "-", each.allowed, each.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
