"""Misspelt names in a parameter file, and sections that reach no node: ROS silently ignores both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters.file import EVERY, ParameterFile
from deeprs2v_ros.parameters.names import NAMES

_SIMILAR = 0.85
"""How similar to one of ours a name must be to count as misspelt, and not as the name of somebody else's node."""
_ALIKE = 0.6
"""The same for parameters, which are known to be meant for us."""
_OF_ROS = ("use_sim_time", "start_type_description_service")
"""Parameters that every node has."""
_OF_TOPICS = "qos_overrides."


def check_spelling(file: ParameterFile, namespace: str | None = None) -> None:
    """Raise InputError for what looks meant for our nodes, in ``namespace`` if one is given, and reaches none of them.

    That is: a parameter of a node that it does not have, one for all nodes that none of ours has, a node whose name is
    nearly ours, one of ours in another namespace only, and a file for none of our nodes. Other nodes are left alone.
    """
    for pattern, values in file.sections.items():
        _check_section(file.source, pattern, values)
    if namespace is not None:
        for node in NAMES:
            _check_namespace(file, node, namespace)
    if file.sections and not any(pattern.rpartition("/")[2] in (*NAMES, *EVERY) for pattern in file.sections):
        raise InputError(f"{file.source}: is for none of the nodes {', '.join(NAMES)}")


def check_name(source: str, node: str, name: str) -> None:
    """Raise InputError, naming the ``source``, if the ``node``, or none where it is ``*``, has a parameter ``name``."""
    known = set().union(*NAMES.values()) if node in EVERY else NAMES[node]
    if name in known or name in _OF_ROS or name.startswith(_OF_TOPICS):
        return
    owner = "no node has a parameter" if node in EVERY else f"{node} has no parameter"
    raise InputError(f"{source}: {owner} {name}{_nearest(name, (*known, *_OF_ROS), _ALIKE)}")


def _check_section(source: str, pattern: str, values: Mapping[str, Any]) -> None:
    name = pattern.rpartition("/")[2]
    if name in NAMES or name in EVERY:
        for parameter in values:
            check_name(source, name, parameter)
    elif nearest := _nearest(name, NAMES, _SIMILAR):
        raise InputError(f"{source}: there is no node {name}{nearest}")


def _check_namespace(file: ParameterFile, node: str, namespace: str) -> None:
    place = f"{namespace.rstrip('/')}/{node}"
    patterns = [pattern for pattern in file.sections if pattern.rpartition("/")[2] == node]
    if patterns and not any(_reaches(pattern, place) for pattern in patterns):
        raise InputError(f"{file.source}: {patterns[0]} is not {place}; write /**/{node}")


def _reaches(pattern: str, place: str) -> bool:
    """Whether a node at ``place`` gets what stands under ``pattern``: * is any name, ** any number of them."""
    tokens = [token for token in pattern.split("/") if token]
    made = "".join("(/[^/]+)*" if token == "**" else "/[^/]+" if token == "*" else "/" + token for token in tokens)
    return re.fullmatch(made, place) is not None


def _nearest(name: str, known: Iterable[str], alike: float) -> str:
    """A question that names what is most like ``name``; empty if nothing is."""
    plain = {_plain(each): each for each in known}
    found = get_close_matches(_plain(name), plain, 1, alike)
    return f": did you mean {plain[found[0]]}?" if found else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
