"""Which parameters the nodes get: those of a file, unless arguments say otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import launch.logging
import yaml
from launch import LaunchContext

from deeprs2v_ros.nodes.launching.arguments import by_clock_topic, text
from deeprs2v_ros.nodes.launching.namespaces import absolute, namespace
from deeprs2v_ros.parameters.file import ParameterFile, read_parameters
from deeprs2v_ros.parameters.spelling import check_spelling

PLACE = ("base_from_volume.bag", "base_from_volume.xyz", "base_from_volume.xyzw")
"""Where the volume is. Unless the file says so, it is taken from the bag that is played."""


def parameter_files(context: LaunchContext, nodes: Collection[str], on_bag_clock: bool) -> list[str]:
    """Paths of the file, and of one with what is given besides; ``on_bag_clock`` holds unless use_sim_time is given.

    Raises InputError naming the file for one that cannot be used: ROS would start the nodes without.
    """
    file = given_file(context)
    given = _given(context, file, nodes, on_bag_clock)
    return [file.source] if not given else [file.source, written("given.yaml", given)]


def given_file(context: LaunchContext) -> ParameterFile:
    """The parameter file. Raises InputError for one that cannot be read, or that holds what no node would take."""
    file = read_parameters(text(context, "parameters"))
    check_spelling(file, namespace(context))
    return file


def written(name: str, content: Mapping[str, Any]) -> str:
    """Path of a YAML file with ``content``, kept beside the log of this launch."""
    path = Path(launch.logging.launch_config.get_log_file_path(name))
    path.write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
    return str(path)


def _given(context: LaunchContext, file: ParameterFile, nodes: Collection[str], on_bag_clock: bool) -> dict[str, Any]:
    """Sections by a node's whole name: `/**` would not take the place of what a file says of one node."""
    values: dict[str, dict[str, Any]] = {node: {} for node in nodes}
    if "health" in nodes:
        values["health"]["nodes"] = [node for node in nodes if node != "health"]
    for argument in ("method", "device"):
        if value := text(context, argument):
            values.setdefault("registration", {})[argument] = value
    if volume := text(context, "volume"):
        values.setdefault("volume_server", {}).update({"source": "file", "volume": volume})
    if on_bag_clock and not any(name in file.of("volume_server") for name in PLACE):
        values["volume_server"]["base_from_volume.bag"] = text(context, "bag")
    if on_bag_clock or text(context, "use_sim_time"):
        for node in nodes:
            values[node]["use_sim_time"] = by_clock_topic(context, on_bag_clock)
    return {absolute(context, node): {"ros__parameters": given} for node, given in values.items() if given}
