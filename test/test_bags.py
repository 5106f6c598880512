"""Bags that lie: what they would cost is refused before it is paid."""

import sqlite3
import struct
import tracemalloc

import numpy as np
import pytest
import replay_bag
from backports import zstd
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from deeprs2v_ros import bag_bounds
from deeprs2v_ros.bags import opened
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.messages import rigid_from

MODES = [(StoragePlugin.MCAP, None), (StoragePlugin.MCAP, CompressionMode.STORAGE),
         (StoragePlugin.MCAP, CompressionMode.FILE), (StoragePlugin.SQLITE3, None)]  # fmt: skip


@pytest.fixture
def bag(tmp_path):
    def write(storage=StoragePlugin.MCAP, zstd=None):
        return replay_bag.write(tmp_path / "bag", replay_bag.images(2), storage=storage, zstd=zstd)

    return write


def read(folder):
    with opened(folder) as found:
        return len(list(found.messages(found.kinds)))


@pytest.mark.parametrize(("storage", "mode"), MODES)
def test_whole_bags_are_read_and_truncated_ones_refused(bag, storage, mode):
    folder = bag(storage, mode)
    assert read(folder) == 12
    (path,) = (each for each in folder.iterdir() if each.suffix != ".yaml")
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(InputError, match=r"bag: is not a bag that can be read|is not a database"):
        read(folder)


def test_a_chunk_that_inflates_beyond_all_bounds(bag, monkeypatch):
    monkeypatch.setattr(bag_bounds, "MOST_CHUNK", 20 << 20)
    folder = bag()
    (path,) = folder.glob("*.mcap")
    data = zstd.compress(bytes(200 << 20))
    chunk = struct.pack("<QQQII", 0, 1, 100, 0, 4) + b"zstd" + struct.pack("<Q", len(data)) + data
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"\x06" + struct.pack("<Q", len(chunk)) + chunk + content[8:])
    tracemalloc.start()
    with pytest.raises(InputError, match=r"\.mcap: its data inflate to more than"):
        read(folder)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


def test_a_database_that_answers_for_ever(bag):
    folder = bag(StoragePlugin.SQLITE3)
    (path,) = folder.glob("*.db3")
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE messages RENAME TO old")
        database.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
            "SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n"
        )
    database.close()
    with pytest.raises(InputError, match=r"\.db3: its messages is no table"):
        read(folder)


def test_metadata_that_grow_without_bounds(bag):
    folder = bag()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (folder / "metadata.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"metadata\.yaml: its aliases"):
        read(folder)


def test_a_kind_of_message_that_is_not_what_ros_calls_so(bag):
    folder = bag()
    (path,) = folder.glob("*.mcap")
    content = path.read_bytes()
    assert b"uint32 height" in content
    path.write_bytes(content.replace(b"uint32 height", b"uint32 heighs"))
    with pytest.raises(InputError, match="bag: is not a bag that can be read"):
        read(folder)


@pytest.mark.parametrize("xyz", [(0, 0, np.nan), (0, np.inf, 0), (1e300, 0, 0)])
def test_a_transform_that_is_nowhere(xyz):
    with pytest.raises(InputError, match="no rigid transform"):
        rigid_from(xyz, (0, 0, 0, 1), "tf")


def test_a_turn_that_is_none():
    for turn in ((0, 0, 0, 0), (0, 0, 0, np.nan), (0, 0, 0, 1e200)):
        with pytest.raises(InputError, match="no rigid transform"):
            rigid_from((0, 0, 0), turn, "tf")
