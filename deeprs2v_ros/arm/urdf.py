"""Joints of a URDF file, in millimetres and radians.

Only what kinematics needs is read: joints of type fixed, revolute, continuous and prismatic, with origin, axis, limits
and mimic (http://wiki.ros.org/urdf/XML/joint). Lengths are converted from the file's metres on the way in.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.reading import finite, read_text

MOST_XML = 1 << 24
"""Bytes of a URDF file."""
FARTHEST = 1e6
"""Of an origin's and an axis's numbers: m, rad."""
MOVING_TYPES = ("revolute", "continuous", "prismatic")


@dataclass(frozen=True)
class Mimic:
    """A joint that follows another one: value = multiplier * value of ``joint`` + offset (mm or rad)."""

    joint: str
    multiplier: float
    offset: float


@dataclass(frozen=True)
class Joint:
    """One joint: ``parent_from_joint`` is its frame at value zero (mm), ``axis`` a unit vector (3,) in that frame.

    Limits are in rad or mm, the ``velocity`` limit in rad/s or mm/s; without limits they are infinite.
    """

    name: str
    kind: str
    parent: str
    child: str
    parent_from_joint: Array
    axis: Array
    lower: float
    upper: float
    velocity: float
    mimic: Mimic | None


def read_joints(path: str | Path) -> list[Joint]:
    """The joints of the URDF file ``path`` in the order of the file.

    Raises InputError, naming file, joint and fault, for a file that is not a URDF, joints that share a name, links that
    no <link> declares, unsupported joint types, invalid numbers, an axis of length zero and impossible limits.
    """
    robot = _root(path)
    if robot.tag != "robot":
        raise InputError(f"{path}: not a URDF file, the outermost element is <{robot.tag}>, not <robot>")
    links = {link.get("name") for link in robot.findall("link")}
    joints: dict[str, Joint] = {}
    for element in robot.findall("joint"):
        name = element.get("name")
        if not name:
            raise InputError(f"{path}: a joint has no name")
        joint = _read_joint(element, name, f"{path}: joint {name}")
        if name in joints:
            raise InputError(f"{path}: joint {name} is there twice")
        for role, link in (("parent", joint.parent), ("child", joint.child)):
            if link not in links:
                raise InputError(f"{path}: joint {name} has the {role} link {link}, which does not exist")
        joints[name] = joint
    if not joints:
        raise InputError(f"{path}: holds no joint")
    loose = sorted(links - {link for joint in joints.values() for link in (joint.parent, joint.child)}, key=str)
    if loose:
        raise InputError(f"{path}: link {loose[0]} hangs on no joint")
    return list(joints.values())


def with_origins(path: str | Path, joints: Mapping[str, Joint], kind: str) -> str:
    """The text of the URDF file ``path`` with the joints of one ``kind`` placed as in ``joints``."""
    robot = _root(path)
    for element in robot.findall("joint"):
        joint = joints[element.get("name", "")]
        if joint.kind == kind:
            origin = element.find("origin")
            origin = ElementTree.SubElement(element, "origin") if origin is None else origin
            turn = Rotation.from_matrix(joint.parent_from_joint[:3, :3]).as_euler("xyz")
            origin.set("xyz", " ".join(f"{value:.9g}" for value in joint.parent_from_joint[:3, 3] / 1000.0))
            origin.set("rpy", " ".join(f"{value:.12g}" for value in turn))
    return ElementTree.tostring(robot, encoding="unicode")


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type: entities may grow without end, and no URDF needs them."""

    def doctype(self, *_: str | None) -> None:
        """Called where one begins."""
        raise InputError("has a document type (<!DOCTYPE>), which no URDF has")


def _root(path: str | Path) -> ElementTree.Element:
    text = read_text(path, "not an XML file", MOST_XML)
    try:
        return ElementTree.fromstring(text, ElementTree.XMLParser(target=_Builder()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two by odd encodings
        raise InputError(f"{path}: not an XML file ({error})") from error


def _read_joint(element: ElementTree.Element, name: str, where: str) -> Joint:
    kind = element.get("type", "")
    if kind != "fixed" and kind not in MOVING_TYPES:
        raise InputError(f"{where}: type {kind!r} is not one of fixed, {', '.join(MOVING_TYPES)}")
    unit = 1000.0 if kind == "prismatic" else 1.0
    parent, child = (_child(element, tag, where).get("link", "") for tag in ("parent", "child"))
    origin = element.find("origin")
    xyz, rpy = ((0.0, 0.0, 0.0),) * 2 if origin is None else (_vector(origin, key, where) for key in ("xyz", "rpy"))
    axis_element = element.find("axis")
    axis = np.array((1.0, 0.0, 0.0) if axis_element is None else _vector(axis_element, "xyz", where))
    length = np.linalg.norm(axis)
    if kind != "fixed" and length == 0.0:
        raise InputError(f"{where}: the axis has length zero")

    lower, upper, velocity = -math.inf, math.inf, math.inf
    if kind != "fixed":
        limit = element.find("limit")
        if limit is None and kind != "continuous":
            raise InputError(f"{where}: a {kind} joint needs a <limit>")
        if limit is not None:
            velocity = unit * _number(limit, "velocity", where)
            if kind != "continuous":
                lower, upper = (unit * _number(limit, key, where) for key in ("lower", "upper"))
        if not lower <= upper or not velocity > 0.0:
            raise InputError(f"{where}: the limits are impossible (lower above upper, or velocity not above 0)")

    mimic_element = element.find("mimic")
    mimic = None
    if mimic_element is not None and kind != "fixed":
        multiplier = _number(mimic_element, "multiplier", where, 1.0)
        offset = unit * _number(mimic_element, "offset", where, 0.0)
        mimic = Mimic(mimic_element.get("joint", ""), multiplier, offset)
    rotation = Rotation.from_euler("xyz", rpy).as_matrix()
    parent_from_joint = rigid(rotation, 1000.0 * np.array(xyz))
    return Joint(name, kind, parent, child, parent_from_joint, axis / (length or 1.0), lower, upper, velocity, mimic)


def _child(element: ElementTree.Element, tag: str, where: str) -> ElementTree.Element:
    found = element.find(tag)
    if found is None:
        raise InputError(f"{where}: has no <{tag}>")
    return found


def _vector(element: ElementTree.Element, key: str, where: str) -> tuple[float, ...]:
    words = element.get(key, "0 0 0").split()
    values = tuple(finite(word, f"{where}: <{element.tag}> {key}", FARTHEST) for word in words)
    if len(values) != 3:
        raise InputError(f"{where}: <{element.tag}> {key} has {len(values)} numbers, not 3")
    return values


def _number(element: ElementTree.Element, key: str, where: str, default: float = math.nan) -> float:
    text = element.get(key)
    if text is None and not math.isnan(default):
        return default
    return finite(text, f"{where}: <{element.tag}> {key}")
