"""Readers of files under fire: valid files, what can be done to them, and what reading them may lead to.

Used by test_fuzzing.py, and for as long as one likes by benchmarks/fuzz.py.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import meshes
import numpy as np
import replay_bag
import SimpleITK as sitk
from hypothesis import strategies as st
from networks import GRID
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from deeprs2v_ros.anatomy.placing import read_transform
from deeprs2v_ros.anatomy.reading import read_surfaces
from deeprs2v_ros.arm.calibration.pairs import POSE_COLUMNS, read_pairs
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.line_protocol import LineError, LineFormat, Reading
from deeprs2v_ros.arm.urdf import read_joints
from deeprs2v_ros.bags import opened
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.poses import PoseRow, read_poses, write_poses
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence, write_sequence
from deeprs2v_ros.imaging.volume import Volume, read_volume, to_image
from deeprs2v_ros.messages import covariance_of, image_of, joints_of, stamp_of, transforms_of
from deeprs2v_ros.network.architectures import build
from deeprs2v_ros.network.checkpoint import Description, load_weights, save_weights
from deeprs2v_ros.parameters.cart import declare_images
from deeprs2v_ros.parameters.file import read_parameters
from deeprs2v_ros.parameters.guidance import declare_guidance
from deeprs2v_ros.replay.topics import choose_topics, read_links
from deeprs2v_ros.resources import resource

EXTREME = [
    *(b"0", b"-1", b"0.5", b"nan", b"inf", b"-inf", b"1e300", b"-1e300", b"1e-300", b"1e999", b"", b"\xb2", b"x"),
    *(b"127", b"65536", b"2147483648", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"9" * 5000),
]
NUMBER = re.compile(rb"-?\d+(\.\d+)?(e-?\d+)?")
MASK_SHAPE = (20, 30)


@dataclass(frozen=True)
class Reader:
    """``seeds(folder)`` makes valid files; ``read(path)`` reads a file of the same name beside what goes with it."""

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], object]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` with some edits: bytes changed, put in, left out or repeated, numbers extreme, the end cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(("number", "number", "set", "flip", "insert", "delete", "repeat", "cut")))
        at = draw(st.integers(0, len(content)))
        if kind == "number":
            numbers = list(NUMBER.finditer(content[:20_000]))
            if numbers:
                start, end = draw(st.sampled_from(numbers)).span()
                content[start:end] = draw(st.sampled_from(EXTREME))
        elif kind == "set":
            length = draw(st.sampled_from((1, 2, 4, 8)))
            content[at : at + length] = draw(st.sampled_from((b"\0", b"\xff", b"\x7f", b"\x80"))) * length
        elif kind == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            content[at:at] = draw(st.binary(max_size=20))
        elif kind == "delete":
            del content[at : at + draw(st.integers(1, 50))]
        elif kind == "repeat":
            content[at:at] = content[at : at + draw(st.integers(1, 200))]
        elif kind == "cut":
            del content[at:]
    return bytes(content)


def contents(seeds: list[Path]) -> st.SearchStrategy[tuple[Path, bytes]]:
    """One of the files, with what is to be written in its place: mostly a damaged file, sometimes anything."""
    return st.sampled_from(seeds).flatmap(
        lambda seed: st.tuples(
            st.just(seed), st.one_of(*[damaged(seed.read_bytes())] * 9, st.binary(max_size=200))
        )
    )  # fmt: skip


def outcome(reader: Reader, seed: Path, content: bytes, folder: Path) -> str:
    """Read ``content`` in the place of a ``seed``: the InputError's line, or nothing. Anything else comes through."""
    shutil.copytree(seed.parent, folder, dirs_exist_ok=True)
    path = folder / seed.name
    path.write_bytes(content)
    try:
        reader.read(path)
    except InputError as error:
        return str(error)
    return ""


# --- Valid files ---


def _volume() -> Volume:
    array = np.random.default_rng(0).integers(1, 255, (4, 5, 6), dtype=np.uint8)
    return Volume(array, np.array([1.0, 1.5, 2.0]), np.array([-3.0, 4.0, 5.0]))


def _volumes(*suffixes: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        paths = [folder / f"volume{packed:d}{suffix}" for suffix in suffixes for packed in (False, True)]
        for number, path in enumerate(paths):
            sitk.WriteImage(to_image(_volume()), str(path), useCompression=bool(number % 2))
        return paths

    return make


def _sequences(folder: Path) -> list[Path]:
    transforms = np.tile(np.diag([0.3, 0.3, 1.0, 1.0]), (3, 1, 1))
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 9), dtype=np.uint8)
    sequence = Sequence(frames, transforms, np.arange(3) / 10.0, np.ones(3, bool))
    paths = [folder / "packed.igs.mha", folder / "packed.igs.nrrd", folder / "plain.igs.mha"]
    for path in paths[:2]:
        write_sequence(path, sequence)
    head, _, _ = paths[0].read_bytes().partition(b"LOCAL\n")
    head = re.sub(rb"CompressedDataSize.*\n", b"", head).replace(b"CompressedData = True", b"CompressedData = False")
    paths[2].write_bytes(head + b"LOCAL\n" + frames.tobytes())
    return paths


def _label_maps(folder: Path) -> list[Path]:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:4, 1:5, 1:3], labels[1:4, 1:5, 4:6] = 1, 2
    paths = [folder / f"labels{suffix}" for suffix in (".seg.nrrd", ".nrrd", ".nii", ".mha")]
    for path in paths:
        image = sitk.GetImageFromArray(labels)
        if path.name.endswith(".seg.nrrd"):
            for number, name in enumerate(("liver", "tumour")):
                image.SetMetaData(f"Segment{number}_Name", name)
                image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
                image.SetMetaData(f"Segment{number}_Layer", "0")
        sitk.WriteImage(image, str(path))
    return paths


def _transforms(folder: Path) -> list[Path]:
    turn = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    paths = [folder / f"place{suffix}" for suffix in (".tfm", ".h5", ".yaml")]
    for path in paths[:2]:
        sitk.WriteTransform(sitk.CompositeTransform([turn, sitk.AffineTransform(3)]), str(path))
    paths[2].write_text("matrix: [[0, -1, 0, 1.5], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]\n")
    return paths


def _masks(folder: Path) -> list[Path]:
    paths = [folder / f"mask{suffix}" for suffix in (".png", ".bmp", ".tif")]
    for path in paths:
        cv2.imwrite(str(path), np.full(MASK_SHAPE, 255, np.uint8))
    return paths


def _arms(folder: Path) -> list[Path]:
    paths = [folder / "liver.yaml", folder / "liver_arm.urdf"]
    paths[0].write_text(resource("config/arm/liver.yaml").read_text().replace("../../urdf/", ""))
    shutil.copy(resource("urdf/liver_arm.urdf"), paths[1])
    return paths[:1]


def _urdfs(folder: Path) -> list[Path]:
    return [Path(shutil.copy(resource("urdf/liver_arm.urdf"), folder / "arm.urdf"))]


def _parameters(folder: Path) -> list[Path]:
    return [Path(shutil.copy(resource(f"config/{name}.yaml"), folder)) for name in ("cart", "simulator")]


def _weights(folder: Path) -> list[Path]:
    path = folder / "small.safetensors"
    save_weights(path, build("correspondence", GRID, 0.34), Description("correspondence", GRID, 0.34))
    return [path]


def _poses(folder: Path) -> list[Path]:
    rows = [PoseRow(n, n / 10, "ACCEPTED", "", 0.5, 0.9, 12.0, np.eye(4)) for n in range(3)]
    write_poses(folder / "POSES.csv", rows)
    return [folder / "POSES.csv"]


def _pairs(folder: Path) -> list[Path]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"q{n}" for n in range(1, 8)), "q5_raw", "flag", *POSE_COLUMNS])
    writer.writerows([*range(1, 8), 3.0, "ok", *np.eye(4)[:3].ravel()] for _ in range(3))
    (folder / "pairs.csv").write_text(text.getvalue())
    return [folder / "pairs.csv"]


def _bags(storage: StoragePlugin, *packed: CompressionMode | None) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        found = []
        for number, mode in enumerate(packed):
            bag = replay_bag.write(folder / f"bag{number}", replay_bag.images(2), storage=storage, zstd=mode)
            found += sorted(bag.iterdir())
        return found

    return make


def _messages(folder: Path) -> list[Path]:
    bag = replay_bag.write(folder / "bag", replay_bag.images(1), replay_bag.Arm("joint_states"))
    with opened(bag) as content:
        stored = {kind: data for kind, _, data in _raw(content)}
    place = replay_bag.T["geometry_msgs/msg/Pose"](
        replay_bag.T["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
        replay_bag.T["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
    )
    kind = "geometry_msgs/msg/PoseWithCovarianceStamped"
    pose = replay_bag.T[kind](
        replay_bag.T["std_msgs/msg/Header"](replay_bag.T["builtin_interfaces/msg/Time"](1, 2), "base_link"),
        replay_bag.T["geometry_msgs/msg/PoseWithCovariance"](place, np.eye(6).ravel()),
    )
    stored[kind] = replay_bag.STORE.serialize_cdr(pose, kind)
    paths = []
    for kind, data in stored.items():
        paths.append(folder / "cdr" / kind.replace("/", "."))
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_bytes(bytes(data))
    return paths


def _raw(bag: object) -> list[tuple[str, int, bytes]]:
    reader = bag._reader
    return [(connection.msgtype, time, data) for connection, time, data in reader.messages()]


LINE = LineFormat([12, 17, 8], "crc16")


def _lines(folder: Path) -> list[Path]:
    path = folder / "line"
    path.write_bytes(LINE.compose(Reading(7, 1_000_000, (5, None, 255))))
    return [path]


# --- Reading them ---


def _read_bag(path: Path) -> None:
    with opened(path.parent) as bag:
        topics = choose_topics(bag, {}, None)
        read_links(bag, topics)
        for topic, _, message in bag.messages([topics.image]):
            assert topic == topics.image
            image_of(message)


def _read_message(path: Path) -> None:
    kind = path.name.replace(".", "/")
    try:
        message = replay_bag.STORE.deserialize_cdr(path.read_bytes(), kind)
    except Exception as error:  # a bag names itself in whatever its library raises
        raise InputError("damaged") from error
    match kind:
        case "tf2_msgs/msg/TFMessage":
            assert all(np.isfinite(place).all() for *_, place in transforms_of(message))
        case "sensor_msgs/msg/JointState":
            joints = joints_of(message, replay_bag.ARM.chain)
            replay_bag.ARM.chain.moving_transforms(joints)
        case "sensor_msgs/msg/Image":
            stamp_of(message.header)
            assert image_of(message).shape == (message.height, message.width)
        case _:
            assert np.isfinite(covariance_of(message)).all()


def _read_parameters(path: Path) -> None:
    given = read_parameters(path).of("registration")
    declare_images(given)
    declare_guidance(given)
    given.digest()


def _read_line(path: Path) -> None:
    try:
        LINE.parse(path.read_bytes())
    except LineError as error:
        raise InputError(str(error)) from error


def _read_sequence(path: Path) -> None:
    sequence = read_sequence(path)
    assert np.isfinite(sequence.world_from_pixel[sequence.valid]).all()
    assert len(sequence) == len(sequence.world_from_pixel) == len(sequence.timestamps) == len(sequence.valid)


def _read_volume(path: Path) -> None:
    volume = read_volume(path)
    assert np.isfinite(volume.volume_from_voxel).all()
    assert np.linalg.cond(volume.direction) < 1.1


def _read_surfaces(path: Path) -> None:
    for surface in read_surfaces(path).values():
        assert np.isfinite(surface.vertices).all()
        assert 0 <= surface.triangles.min() <= surface.triangles.max() < len(surface.vertices)


def _read_weights(path: Path) -> None:
    state = load_weights(path).network.state_dict()
    assert all(each.isfinite().all() for each in state.values())


READERS = {
    "sequence": Reader(_sequences, _read_sequence),
    "volume_meta": Reader(_volumes(".mha", ".mhd"), _read_volume),
    "volume_nrrd": Reader(_volumes(".nrrd", ".nhdr"), _read_volume),
    "volume_nifti": Reader(_volumes(".nii", ".nii.gz"), _read_volume),
    "mesh": Reader(meshes.write_all, _read_surfaces),
    "label_map": Reader(_label_maps, _read_surfaces),
    "transform": Reader(_transforms, read_transform),
    "mask": Reader(_masks, lambda path: read_mask(path, MASK_SHAPE)),
    "arm": Reader(_arms, read_arm),
    "urdf": Reader(_urdfs, read_joints),
    "parameters": Reader(_parameters, _read_parameters),
    "weights": Reader(_weights, _read_weights),
    "poses": Reader(_poses, read_poses),
    "pairs": Reader(_pairs, lambda path: read_pairs(path, replay_bag.ARM)),
    "bag_mcap": Reader(_bags(StoragePlugin.MCAP, None, CompressionMode.STORAGE, CompressionMode.FILE), _read_bag),
    "bag_sqlite3": Reader(_bags(StoragePlugin.SQLITE3, None, CompressionMode.MESSAGE), _read_bag),
    "message": Reader(_messages, _read_message),
    "encoder_line": Reader(_lines, _read_line),
}
