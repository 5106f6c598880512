"""Message definitions as a bag carries them, so that it can be read where the messages are not installed."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path

from deeprs2v_ros.errors import InputError

_SEPARATOR = "=" * 80


def message_class(name: str) -> type:
    """The Python class of a message type such as ``sensor_msgs/msg/Image``."""
    package, kind, message = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), message)


def message_definition(name: str) -> str:
    """The ``.msg`` file of type ``name``, followed by those of all the types in it, in the ros2msg encoding of MCAP.

    Raises InputError, naming the type, if one of them is not installed.
    """
    sections, seen, queue = [_source(name)], {name}, [name]
    while queue:
        for part in _parts(queue.pop(0)):
            if part not in seen:
                seen.add(part)
                queue.append(part)
                sections.append(f"{_SEPARATOR}\nMSG: {part.replace('/msg/', '/')}\n{_source(part)}")
    return "\n".join(section.rstrip("\n") for section in sections) + "\n"


def _source(name: str) -> str:
    """The text of a ``.msg`` file; where ROS comes as Python wheels, it lies under Python's own prefix."""
    package = name.split("/")[0]
    for prefix in (*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix):
        path = Path(prefix, "share", package, *name.split("/")[1:]).with_suffix(".msg")
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise InputError(f"{name}: its definition is not installed")


def _parts(name: str) -> list[str]:
    """The message types among the fields of type ``name``, spelt sequence<std_msgs/Header, 3> in its class."""
    fields = message_class(name).get_fields_and_field_types().values()
    found = (re.search(r"([a-z]\w*)/(\w+)", field) for field in fields)
    return [f"{match[1]}/msg/{match[2]}" for match in found if match]
