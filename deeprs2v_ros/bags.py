"""Opens rosbag2 folders, without ROS: MCAP or SQLite, compressed or not."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from deeprs2v_ros.errors import InputError

_UNREADABLE = (AnyReaderError, ReaderError, sqlite3.DatabaseError, struct.error, EOFError)


@contextmanager
def opened(bag: str | Path) -> Iterator[AnyReader]:
    """Yield a reader of the rosbag2 folder ``bag``.

    Raises InputError naming it if it is missing or cannot be read, be it while the reader is used.
    """
    bag = Path(bag)
    if bag.is_file():
        raise InputError(f"{bag}: is a file; a bag is the folder that holds metadata.yaml")
    if bag.is_dir() and not (bag / "metadata.yaml").is_file():
        raise InputError(f"{bag}: has no metadata.yaml (`ros2 bag reindex` makes one)")
    try:
        # Bags before ROS 2 Iron hold no definitions of their messages.
        with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            yield reader
    except FileNotFoundError:
        raise InputError(f"{bag}: there is no bag") from None
    except _UNREADABLE as error:
        raise InputError(f"{bag}: is not a bag that can be read ({' '.join(str(error).split())})") from error
