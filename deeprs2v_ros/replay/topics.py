"""Which topics of a bag are read, and what TF in it connects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deeprs2v_ros.bags import Bag
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.messages import transforms_of

IMAGES, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINTS = "sensor_msgs/msg/JointState"
POSES = "geometry_msgs/msg/PoseWithCovarianceStamped"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
POINTS = "geometry_msgs/msg/PointStamped"
STATUSES = "deeprs2v_ros/msg/RegistrationStatus"


@dataclass(frozen=True)
class Topics:
    """Names of topics in a bag; empty where there is none."""

    image: str
    joints: str
    pose: str
    tf: str
    tf_static: str
    target: str
    status: str


_USUAL = {
    "image": (IMAGES, "us/image"),
    "joints": (JOINTS, "joint_states"),
    "pose": (POSES, "arm/image_pose"),
    "tf": (TRANSFORMS, "tf"),
    "tf_static": (TRANSFORMS, "tf_static"),
    "target": (POINTS, "simulation/target"),
    "status": (STATUSES, "registration/status"),
}
"""By the fields of `Topics`, the kinds of messages and the usual names."""


def choose_topics(bag: Bag, wanted: Mapping[str, str | None], namespace: str | None) -> Topics:
    """The topics to read: those ``wanted``, by the fields of `Topics`, else those of the usual names.

    These are looked for in the ``namespace``, in that of the images if it is None, and then in those around it. Without
    a ``namespace``, images and what a driver may bring are also found anywhere, if there is only one such topic.
    Raises InputError naming the ``bag`` for one that is wanted and not there, or if it is not clear which images.
    """
    there = {field: _of_kind(bag, kind) for field, (kind, _) in _USUAL.items()}
    image = _wanted(bag, there["image"], "image", wanted) or _images(bag, there["image"], namespace)
    inside = _namespace(image, _USUAL["image"][1]) if namespace is None else "/" + namespace.strip("/")
    found = {"image": image}
    for field in _USUAL.keys() - found.keys():
        found[field] = _wanted(bag, there[field], field, wanted) or _nearest(there[field], field, inside)
        if not found[field] and namespace is None and field != "status":  # another cart's statuses are of no use
            found[field] = _only(there[field], field)
    return Topics(**found)


def _of_kind(bag: Bag, kind: str) -> list[str]:
    return sorted(name for name, its_kind in bag.kinds.items() if its_kind == kind and bag.counts[name])


def _wanted(bag: Bag, there: list[str], field: str, wanted: Mapping[str, str | None]) -> str:
    asked = wanted.get(field)
    if not asked:
        return ""
    name = "/" + asked.lstrip("/")
    if name not in there:
        kind, _ = _USUAL[field]
        raise InputError(f"{bag.path}: no {kind} on {asked}; topics with such: {', '.join(there) or 'none'}")
    return name


def _images(bag: Bag, there: list[str], namespace: str | None) -> str:
    _, usual = _USUAL["image"]
    name = f"/{usual}" if namespace is None else f"/{namespace.strip('/')}/{usual}".replace("//", "/")
    if name in there:
        return name
    in_namespaces = [name for name in there if name.endswith(f"/{usual}")]
    if namespace is None and len(in_namespaces) == 1:
        return in_namespaces[0]
    if namespace is None and in_namespaces:
        spaces = ", ".join(_namespace(name, usual) for name in in_namespaces)
        raise InputError(f"{bag.path}: images on {usual} in several namespaces ({spaces}); choose by --namespace")
    compressed = _of_kind(bag, COMPRESSED)
    note = f" (compressed ones cannot be read: {', '.join(compressed)})" if compressed else ""
    raise InputError(
        f"{bag.path}: no images on {usual if namespace is None else name}; topics with images: "
        f"{', '.join(there) or 'none'}{note}; choose by --image-topic"
    )


def _namespace(topic: str, usual: str) -> str:
    """The namespace of a topic with its usual name; of another one, that of all."""
    return topic.removesuffix(f"/{usual}") if topic.endswith(f"/{usual}") else ""


def _nearest(there: list[str], field: str, namespace: str) -> str:
    """The topic in the namespace, or in the innermost one around it."""
    _, usual = _USUAL[field]
    while True:
        name = f"{namespace.rstrip('/')}/{usual}"
        if name in there:
            return name
        if not namespace.strip("/"):
            return ""
        namespace = namespace.rpartition("/")[0]


def _only(there: list[str], field: str) -> str:
    _, usual = _USUAL[field]
    found = [name for name in there if name.endswith(f"/{usual}")]
    return found[0] if len(found) == 1 else ""


@dataclass(frozen=True)
class Links:
    """What TF says in all of a bag: ``parents`` by child, and the last place (4, 4) mm of each child in its parent."""

    parents: dict[str, str]
    places: dict[str, Array]

    def up_from(self, frame: str) -> list[str]:
        """The frames from this one to the root."""
        way = [frame]
        while (parent := self.parents.get(way[-1])) is not None and parent not in way:
            way.append(parent)
        return way

    def gap(self, one: str, other: str) -> str:
        """What is missing between two frames, in words; empty if they are connected."""
        roots = [self.up_from(frame)[-1] for frame in (one, other)]
        if roots[0] == roots[1]:
            return ""
        for frame, root in zip((one, other), roots, strict=True):
            if frame == root:
                return f"TF does not say where {frame} is"
        return f"TF leads from {one} to {roots[0]} and from {other} to {roots[1]}, and nothing joins these"


def read_links(bag: Bag, topics: Topics) -> Links:
    """Look through TF in the whole bag."""
    links = Links({}, {})
    for _, _, message in bag.messages((topics.tf, topics.tf_static)):
        for parent, child, _, place in transforms_of(message):
            links.parents[child], links.places[child] = parent, place
    return links
