"""A liver arm with known faults, written out by hand: what its encoders log, and where a tracker sees its tool.

Nothing here comes from the package. Angles in degrees, lengths in mm; arrays are over N postures and the seven joints.
The shaft of every joint carries a disc; the encoder reads the disc's angle through a little play, less a zero, in whole
counts. The disc's angle plus an error curve is the joint's, for joint 5 through its coupling to joint 6.
"""

import csv
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

JOINTS = ("j1", "j2", "j3", "j4", "j5", "j6", "j7")
COUNT = 360.0 / 4096.0
STAND = Rotation.from_euler("x", -90, degrees=True)
DOWN = np.array([0.0, 0.0, -1.0])
# joint, its place on the link before it, its axis; j3m is the far end of the parallelogram
STEPS = (
    ("j1", (0.0, 0.0, 0.0), (0, 1, 0)),
    ("j2", (254.0, 0.0, 0.0), (0, 1, 0)),
    ("j3", (64.04, 0.0, 0.0), (0, 0, 1)),
    ("j3m", (254.0, 0.0, 0.0), (0, 0, -1)),
    ("j4", (0.0, 0.0, 0.0), (0, 1, 0)),
    ("j5", (135.7122, 0.0, 0.0), (-1, 0, 0)),
    ("j6", (0.0, 0.0, 0.0), (0, 0, 1)),
    ("j7", (0.0, 355.4, 0.0), (0, -1, 0)),
)
LOW = np.array([-70.0, -85.0, -7.0, 1.6, -14.0, -17.0, -150.0])
HIGH = np.array([80.0, 88.0, 18.0, 1.6, 14.0, 17.0, -32.0])
LOCKED = 3


@dataclass
class SyntheticArm:
    """An arm between a tracker and a tool. Without the later fields it is exactly the drawn one.

    ``zeros`` (7,); ``curves``: joint -> [(waves a turn, cosine, sine)]; ``shifts`` (mm) and ``leans`` (deg, a rotation
    vector) displace a joint; ``sag``: joint -> degrees per metre of lever, about the axes of the joint's child;
    ``play`` (7,) is the whole width of each encoder's dead zone.
    """

    tracker_from_base: np.ndarray
    flange_from_tool: np.ndarray
    zeros: np.ndarray = field(default_factory=lambda: np.zeros(7))
    curves: dict = field(default_factory=dict)
    shifts: dict = field(default_factory=dict)
    leans: dict = field(default_factory=dict)
    sag: dict = field(default_factory=dict)
    play: np.ndarray = field(default_factory=lambda: np.zeros(7))

    def joints(self, discs):
        """The joints' angles (N, 7) at the discs' (N, 7)."""
        angles = np.array(discs, dtype=float)
        for name, waves in self.curves.items():
            disc = np.radians(discs[:, JOINTS.index(name)])
            for k, cosine, sine in waves:
                angles[:, JOINTS.index(name)] += cosine * np.cos(k * disc) + sine * np.sin(k * disc)
        angles[:, 4] = coupled(angles[:, 4], angles[:, 5])
        return angles

    def poses(self, discs):
        """Where the tracker sees the tool (N, 4, 4)."""
        angles = self.joints(discs)
        stiff = self._frames(angles, {})
        flange = stiff["j7"][1]
        turns = {}
        for name, give in self.sag.items():
            turned, origin = stiff[name]
            moment = np.cross(flange - origin, DOWN) / 1000.0
            turns[name] = Rotation.from_rotvec(give * turned.inv().apply(moment), degrees=True)
        turned, origin = self._frames(angles, turns)["j7"]
        base_from_flange = np.tile(np.eye(4), (len(discs), 1, 1))
        base_from_flange[:, :3, :3] = turned.as_matrix()
        base_from_flange[:, :3, 3] = origin
        return self.tracker_from_base @ base_from_flange @ self.flange_from_tool

    def readings(self, discs):
        """What the encoders say (N, 7), in whole counts, when the discs go from posture to posture."""
        seen = np.array(discs, dtype=float)
        for n in range(1, len(seen)):
            seen[n] = np.clip(seen[n - 1], discs[n] - self.play / 2, discs[n] + self.play / 2)
        counts = np.round((seen - self.zeros) / COUNT)
        return 180.0 - (180.0 - counts * COUNT) % 360.0

    def discs_from(self, readings):
        """The discs' angles as the encoders have them; nobody can know them better."""
        angles = readings + self.zeros
        centre = (LOW + HIGH) / 2
        return centre - 180.0 + (angles - centre + 180.0) % 360.0

    def _frames(self, angles, turns):
        turned = STAND * Rotation.identity(len(angles))
        at = np.zeros((len(angles), 3))
        frames = {}
        for name, offset, axis in STEPS:
            at = at + turned.apply(np.add(offset, self.shifts.get(name, 0.0)))
            lean = Rotation.from_rotvec(self.leans.get(name, np.zeros(3)), degrees=True)
            angle = angles[:, JOINTS.index(name[:2]), None]
            turned = turned * lean * Rotation.from_rotvec(angle * axis, degrees=True)
            if name in turns:
                turned = turned * turns[name]
            frames[name] = turned, at
        return frames


def coupled(own, other):
    """Joint 5 from its encoder and joint 6, degrees."""
    return 1.302 * own / np.cos(np.radians(other) / 2)


def placed(rng):
    """A pose of the arm's base before a tracker, and a marker on its flange."""
    base, tool = np.eye(4), np.eye(4)
    base[:3, :3], tool[:3, :3] = Rotation.random(2, random_state=int(rng.integers(1000))).as_matrix()
    base[:3, 3] = rng.uniform([-400, -400, -1500], [400, 400, -1200])
    tool[:3, 3] = rng.uniform(-60, 60, 3)
    return base, tool


def drawn_arm(rng):
    """An arm that is exactly as drawn."""
    return SyntheticArm(*placed(rng))


def faulty_arm(rng, play=0.0):
    """An arm with all the faults that such arms have."""

    def wave(size):
        phase = rng.uniform(0, 2 * np.pi)
        return size * np.cos(phase), size * np.sin(phase)

    names = [name for name, _, _ in STEPS[1:]]
    return SyntheticArm(
        *placed(rng),
        zeros=rng.uniform(-8, 8, 7) * np.where(np.arange(7) == LOCKED, 0.1, 1.0),
        curves={
            "j1": [(1, *wave(2.5)), (2, *wave(1.0))],
            "j2": [(1, *wave(1.0)), (2, *wave(0.5)), (4, *wave(0.1))],
            **{name: [(1, *wave(0.3)), (2, *wave(0.15))] for name in ("j3", "j5", "j6", "j7")},
        },
        shifts={name: rng.normal(0, 1.0, 3) for name in names},
        leans={name: rng.normal(0, 0.5, 3) for name in names},
        sag={"j1": np.array([0.8, 0.0, 0.5]), "j2": np.array([0.4, 0.0, 0.3])},
        play=np.full(7, play),
    )


def postures(rng, number):
    """Random angles of the discs (N, 7) in the working range, joint 4 locked."""
    return rng.uniform(LOW, HIGH, (number, 7))


def write_pairs(path, readings, poses, raw=True, flags=None):
    """Write a CSV file of pairs; joint 5 is logged as the cart computes it, and as read only where ``raw``."""
    logged = np.array(readings, dtype=float)
    logged[:, 4] = coupled(readings[:, 4], readings[:, 5])
    headings = [f"q{n}" for n in range(1, 8)] + ["q5_raw"] * raw
    headings += [f"T_ndi_tool_{i}{j}" for i in range(3) for j in range(4)] + ["flag"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(headings)
        for n, pose in enumerate(poses):
            own = [repr(float(readings[n, 4]))] if raw else []
            numbers = [repr(float(number)) for number in logged[n]] + own + [repr(float(x)) for x in pose[:3].ravel()]
            writer.writerow([*numbers, "ok" if flags is None else flags[n]])
    return path
