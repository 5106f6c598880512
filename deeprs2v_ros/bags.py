"""Reads rosbag2 folders, without ROS: MCAP or SQLite, compressed or not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from deeprs2v_ros.bag_bounds import check_files
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file, is_folder


@dataclass(frozen=True)
class Bag:
    """An open bag: the kinds of messages and how many there are, by topic; when the first and the last were received.

    Times are in ns; names of topics begin with a slash.
    """

    path: Path
    kinds: dict[str, str]
    counts: dict[str, int]
    start: int
    end: int
    _reader: AnyReader = field(repr=False)

    def messages(
        self, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[str, int, Any]]:
        """Topic, time of receipt and message, in the order of receipt, between two times if they are given.

        Raises InputError naming the bag for what cannot be read, and for messages of ROS's own kinds that have other
        fields than theirs.
        """
        connections = [each for each in self._reader.connections if each.topic in topics]
        for kind in {each.msgtype for each in connections} & _standard().types.keys():
            with _named(self.path):
                if self._reader.typestore.hash_rihs01(kind) != _standard().hash_rihs01(kind):
                    raise ValueError(f"it defines {kind} otherwise than ROS does")
        stored = self._reader.messages(connections, start, stop) if connections else iter(())
        while True:
            with _named(self.path):
                found = next(stored, None)
                if found is None:
                    return
                connection, received, data = found
                message = self._reader.deserialize(data, connection.msgtype)
            yield connection.topic, received, message


@contextmanager
def opened(path: str | Path) -> Iterator[Bag]:
    """Open a rosbag2 folder.

    Raises InputError naming it if it is missing, cannot be read, or asks for more than `bag_bounds` allows.
    """
    path = Path(path)
    if is_file(path):
        raise InputError(f"{path}: is a file; a bag is the folder that holds metadata.yaml")
    if not is_folder(path):
        raise InputError(f"{path}: there is no bag")
    if not (path / "metadata.yaml").is_file():
        raise InputError(f"{path}: has no metadata.yaml (`ros2 bag reindex` makes one)")
    check_files(path)
    with _named(path):
        # Bags before ROS 2 Iron hold no definitions of their messages.
        reader = AnyReader([path], default_typestore=_standard())
        reader.open()
    try:
        with _named(path):
            topics = reader.topics
            kinds = {name: topic.msgtype or "" for name, topic in topics.items()}
            counts = {name: topic.msgcount for name, topic in topics.items()}
            bag = Bag(path, kinds, counts, reader.start_time, reader.end_time, reader)
        yield bag
    finally:
        reader.close()


@cache
def _standard() -> Typestore:
    return get_typestore(Stores.ROS2_HUMBLE)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the bag in whatever the reader raises: a broken file leads it, and the libraries below it, to anything."""
    try:
        yield
    except Exception as error:
        fault = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is not a bag that can be read ({fault})") from error
