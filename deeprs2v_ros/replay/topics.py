"""Which topics of a bag are read, and what TF in it connects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deeprs2v_ros.bags import Bag
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.replay.messages import transforms_of

IMAGES, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINTS = "sensor_msgs/msg/JointState"
POSES = "geometry_msgs/msg/PoseWithCovarianceStamped"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
POINTS = "geometry_msgs/msg/PointStamped"


@dataclass(frozen=True)
class Topics:
    """Names of topics in a bag; empty where there is none."""

    image: str
    joints: str
    pose: str
    tf: str
    tf_static: str
    target: str


def choose_topics(bag: Bag, wanted: Mapping[str, str | None]) -> Topics:
    """The topics to read: those ``wanted``, by the fields of `Topics`, else those of the usual names in any namespace.

    Raises InputError naming the ``bag`` for one that is wanted and not there, or without images.
    """
    kinds = {
        "image": (IMAGES, "us/image"),
        "joints": (JOINTS, "joint_states"),
        "pose": (POSES, "arm/image_pose"),
        "tf": (TRANSFORMS, "tf"),
        "tf_static": (TRANSFORMS, "tf_static"),
        "target": (POINTS, "simulation/target"),
    }
    found = {field: _chosen(bag, *kind, wanted.get(field)) for field, kind in kinds.items()}
    if not found["image"]:
        others = ", ".join(_of_kind(bag, IMAGES)) or "none"
        compressed = _of_kind(bag, COMPRESSED)
        note = f" (compressed ones cannot be read: {', '.join(compressed)})" if compressed else ""
        raise InputError(
            f"{bag.path}: no images on us/image; topics with images: {others}{note}; choose by --image-topic"
        )
    return Topics(**found)


def _of_kind(bag: Bag, kind: str) -> list[str]:
    return sorted(name for name, its_kind in bag.kinds.items() if its_kind == kind and bag.counts[name])


def _chosen(bag: Bag, kind: str, usual: str, wanted: str | None) -> str:
    there = _of_kind(bag, kind)
    if wanted:
        name = "/" + wanted.lstrip("/")
        if name not in there:
            raise InputError(f"{bag.path}: no {kind} on {wanted}; topics with such: {', '.join(there) or 'none'}")
        return name
    if f"/{usual}" in there:
        return f"/{usual}"
    in_namespaces = [name for name in there if name.endswith(f"/{usual}")]
    return in_namespaces[0] if len(in_namespaces) == 1 else ""


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
