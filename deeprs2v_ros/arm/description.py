"""An arm as its YAML file describes it: the URDF, the encoders, and a posture to work in.

The file says in which units its numbers are and where they come from; everything in it is checked, and a key that
nobody reads is refused.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deeprs2v_ros.arm.calibrated import LARGEST, Calibration, read_calibration
from deeprs2v_ros.arm.chain import Chain, Corrections
from deeprs2v_ros.arm.curves import Coupling, Table, around_the_turn
from deeprs2v_ros.arm.encoders import Encoder, EncoderBank
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, rigid
from deeprs2v_ros.reading import finite, read_columns, read_yaml

VERSION = 1
UNITS = {"angle": "deg", "length": "mm"}
NEEDED_KEYS = {"version", "name", "provenance", "units", "urdf", "flange", "joints", "rest"}
TOP_KEYS = NEEDED_KEYS | {"bearings", "urdf_sha256", "corrections", "calibration"}
NEEDED_JOINT_KEYS = {"bits", "sign", "zero", "wrap"}
JOINT_KEYS = NEEDED_JOINT_KEYS | {"table", "coupling", "harmonics", "noise"}
CORRECTION_KEYS = {"origin", "compliance"}
MOST_WAVES, HIGHEST_POWER = 64, 9
"""Waves a turn of an error curve, and powers of a coupling."""


@dataclass(frozen=True)
class Arm:
    """An arm: name and provenance as in the file, geometry with its corrections, encoders.

    ``flange`` is the link that carries what the arm holds, ``bearings`` the joints that give under its weight. ``rest``
    are joint values (rad, mm) to work around. ``calibration`` is None before there was one.
    """

    name: str
    provenance: str
    chain: Chain
    flange: str
    bearings: tuple[str, ...]
    encoders: EncoderBank
    rest: dict[str, float]
    calibration: Calibration | None

    def holding(self, shape: tuple[int, int], image_from_pixel: Array, face: tuple[float, float] | None = None) -> Arm:
        """The same arm with images of ``shape`` (rows, columns) and a pixel size of ``image_from_pixel`` (4, 4).

        ``face`` is the pixel (u, v) that lies in the middle of the probe's face: the origin of us_probe. None: the
        middle of the first row.
        """
        u, v = ((shape[1] - 1) / 2.0, 0.0) if face is None else face
        probe_from_image = rigid(translation=-apply(image_from_pixel, [u, v, 0.0]))
        return self._with(self.chain.with_fixed("image", probe_from_image))

    def mounted(self, base_from_arm: Array) -> Arm:
        """The same arm standing at ``base_from_arm`` (4, 4) mm on its cart. Raises InputError without a joint mount."""
        return self._with(self.chain.with_fixed("mount", base_from_arm))

    def _with(self, chain: Chain) -> Arm:
        return replace(self, chain=chain, encoders=EncoderBank(self.encoders.encoders, chain))


def read_arm(path: str | Path) -> Arm:
    """Read the YAML file of an arm; its ``urdf`` and tables are paths from the folder of the file.

    Raises InputError naming the file and the field for everything that is missing, unknown, no number, impossible, or
    that does not fit the URDF.
    """
    return arm_from(load_document(path), path)


def arm_from(document: Mapping[str, Any], path: str | Path) -> Arm:
    """The arm of a ``document``, the content of a YAML file at ``path``. Raises InputError as `read_arm`."""
    path = Path(path)
    _check_keys(document, TOP_KEYS, NEEDED_KEYS, str(path))
    if document["version"] != VERSION:
        raise InputError(f"{path}: version {document['version']!r} is not {VERSION}")
    if document["units"] != UNITS:
        raise InputError(f"{path}: units {document['units']!r} are not {UNITS}")
    joints = _mapping(document["joints"], f"{path}: joints")
    rest = _mapping(document["rest"], f"{path}: rest")
    urdf = path.parent / str(document["urdf"])
    chain = Chain.from_urdf(urdf)
    if "urdf_sha256" in document and document["urdf_sha256"] != fingerprint(urdf):
        raise InputError(f"{path}: {urdf} is not the URDF that this calibration was made with (urdf_sha256 differs)")
    flange = str(document["flange"])
    bearings = document.get("bearings", [])
    if not isinstance(bearings, list) or any(str(name) not in chain.joints for name in bearings):
        raise InputError(f"{path}: bearings is {bearings!r}, not a list of joints of {chain.source}")
    corrections = _read_corrections(document.get("corrections", {}), chain, flange, f"{path}: corrections")
    encoders = {
        str(name): _read_encoder(entry, f"{path}: {name}", path.parent, _unit(chain, str(name)))
        for name, entry in joints.items()
    }
    try:
        chain = chain.corrected(corrections)
        bank = EncoderBank(encoders, chain)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    _check_keys(rest, set(chain.joint_names), set(chain.joint_names), f"{path}: rest")
    values = {name: _unit(chain, name) * _number(value, f"{path}: rest of {name}") for name, value in rest.items()}
    for name, value in values.items():
        if not chain.joints[name].lower <= value <= chain.joints[name].upper:
            raise InputError(f"{path}: rest of {name} is outside the limits that {chain.source} gives the joint")
    calibration = document.get("calibration")
    return Arm(
        str(document["name"]),
        str(document["provenance"]),
        chain,
        flange,
        tuple(map(str, bearings)),
        bank,
        values,
        None if calibration is None else read_calibration(calibration, f"{path}: calibration"),
    )


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file, by which a calibration knows its URDF."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def load_document(path: str | Path) -> dict[str, Any]:
    """The content of a YAML file. Raises InputError naming it as `read_yaml`, and if it holds no mapping."""
    return _mapping(read_yaml(path), str(path))


def _unit(chain: Chain, name: str) -> float:
    """What one unit of the file is in the core: a degree in rad, a millimetre in mm."""
    joint = chain.joints.get(name)
    return 1.0 if joint is not None and joint.kind == "prismatic" else math.radians(1.0)


def _read_encoder(entry: Any, where: str, folder: Path, unit: float) -> Encoder:
    entry = _mapping(entry, where)
    _check_keys(entry, JOINT_KEYS, NEEDED_JOINT_KEYS, where)
    bits, sign, wrap = entry["bits"], entry["sign"], entry["wrap"]
    if type(bits) is not int or not 1 <= bits <= 32:
        raise InputError(f"{where}: bits is {bits!r}, not a whole number from 1 to 32")
    if type(sign) is not int or sign not in (1, -1):
        raise InputError(f"{where}: sign is {sign!r}, not 1 or -1")
    if not isinstance(wrap, list) or len(wrap) != 2:
        raise InputError(f"{where}: wrap is {wrap!r}, not [low, high]")
    low, high = (unit * _number(value, f"{where}: wrap") for value in wrap)
    if not low < high:
        raise InputError(f"{where}: wrap is {wrap!r}, its low end is not below its high one")
    table = _read_table(entry["table"], f"{where}: table", folder, unit) if "table" in entry else None
    coupling = _read_coupling(entry["coupling"], f"{where}: coupling") if "coupling" in entry else None
    if "harmonics" in entry:
        table = _read_harmonics(entry["harmonics"], table, f"{where}: harmonics")
    noise = unit * _number(entry["noise"], f"{where}: noise") if "noise" in entry else None
    return Encoder(bits, sign, unit * _number(entry["zero"], f"{where}: zero"), (low, high), table, coupling, noise)


def _read_harmonics(entry: Any, table: Table | None, where: str) -> Table:
    """[cosine, sine] pairs, degrees of error at 1, 2, ... waves a turn, on top of ``table``."""
    try:
        pairs = np.radians(np.array(entry, dtype=float))
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
            raise ValueError("is not a list of [cosine, sine] pairs")
        if len(pairs) > MOST_WAVES:
            raise ValueError(f"has {len(pairs)} waves a turn, more than {MOST_WAVES}")
        return around_the_turn(table, pairs.ravel())
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where}: {error}") from error


def _read_corrections(entry: Any, chain: Chain, flange: str, where: str) -> Corrections:
    """``origin``: x, y, z in mm and a rotation vector in deg; ``compliance``: deg of sag per m of lever."""
    origins: dict[str, Array] = {}
    compliance: dict[str, Array] = {}
    for name, parts in _mapping(entry, where).items():
        if name not in chain.joints:
            raise InputError(f"{where}: {chain.source} has no joint {name} to correct")
        _check_keys(_mapping(parts, f"{where}: {name}"), CORRECTION_KEYS, set(), f"{where}: {name}")
        for key, size, corrections in (("origin", 6, origins), ("compliance", 3, compliance)):
            if key in parts:
                numbers = parts[key]
                if not isinstance(numbers, list) or len(numbers) != size:
                    raise InputError(f"{where}: {name}: {key} is {numbers!r}, not {size} numbers")
                corrections[str(name)] = np.array([_number(value, f"{where}: {name}: {key}") for value in numbers])
    in_core = np.array([1.0] * 3 + [math.radians(1.0)] * 3)
    return Corrections(
        flange,
        {name: in_core * motion for name, motion in origins.items()},
        {name: np.radians(each) / 1000.0 for name, each in compliance.items()},
    )


def _read_table(entry: Any, where: str, folder: Path, unit: float) -> Table:
    """A list of [encoder, joint] pairs, or the name of a CSV file: one line of headings, then two columns."""
    if isinstance(entry, str):
        try:
            entry = read_columns(folder / entry)
        except InputError as error:
            raise InputError(f"{where} {error}") from error
    try:
        pairs = unit * np.array(entry, dtype=float)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError("is not a list of [encoder, joint] pairs")
        return Table(pairs[:, 0], pairs[:, 1])
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where}: {error}") from error


def _read_coupling(entry: Any, where: str) -> Coupling:
    entry = _mapping(entry, where)
    _check_keys(entry, {"with", "terms"}, {"with", "terms"}, where)
    terms: dict[tuple[int, int], float] = {}
    try:
        for (i, j), c in entry["terms"]:
            if not (type(i) is type(j) is int and 0 <= min(i, j) <= max(i, j) <= HIGHEST_POWER) or (i, j) in terms:
                raise ValueError
            terms[i, j] = _number(c, where)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where}: terms is not a list of [[i, j], c] with each pair of powers once, up to {HIGHEST_POWER}"
        ) from error
    if terms.get((1, 0), 0.0) <= 0.0:
        raise InputError(f"{where}: terms needs a positive [[1, 0], c]; the direction belongs to sign")
    return Coupling(str(entry["with"]), terms)


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: is not a mapping of names to values")
    return value


def _check_keys(found: Mapping[Any, Any], known: set[str], needed: set[str], where: str) -> None:
    missing = sorted(needed - found.keys())
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing")
    unknown = sorted(found.keys() - known, key=str)
    if unknown:
        raise InputError(f"{where}: {unknown[0]} is not known")


def _number(value: Any, where: str) -> float:
    if isinstance(value, str):  # in quotes
        raise InputError(f"{where} is {value!r}, not a number")
    return finite(value, where, LARGEST)
