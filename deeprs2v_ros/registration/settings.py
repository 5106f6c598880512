"""Every setting of the registration, with its default, as one typed tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import ClassVar

from deeprs2v_ros.errors import InputError

ABDOMINAL_WALL = 15.0
"""mm behind the probe's face, skin, fat and muscle, that do not breathe with the organ and are not compared."""


@dataclass(frozen=True)
class Range:
    """What a setting may be: at least ``least``, or ``above`` it, and at most ``most``; `str` says so in words."""

    least: float
    most: float = inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        """False for NaN as well."""
        return (self.least < value if self.above else self.least <= value) and value <= self.most

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {self.least:,.12g}" if self.least > -inf else ""
        high = f"at most {self.most:,.12g}" if self.most < inf else ""
        return " and ".join(filter(None, (low, high)))


def check_limits(prefix: str, settings: object, limits: Mapping[str, Range]) -> None:
    """Raise InputError, naming ``prefix`` and the field, for a field of ``settings`` that is outside its limits."""
    for name, limit in limits.items():
        if getattr(settings, name) not in limit:
            raise InputError(f"{prefix}{name}: must be {limit}, but is {getattr(settings, name):g}")


@dataclass(frozen=True)
class Round:
    """One round of climbs on a level, each from a starting point of its own."""

    iterations: int
    """The most poses that one climb may try."""
    keep: int
    """Distinct summits that go on to the next round."""
    spread: tuple[tuple[float, float], ...] = ()
    """Further starting points: (mm, degrees) from the best one so far, in both directions along and about each axis."""


@dataclass(frozen=True)
class LevelSettings:
    """One level of the coarse-to-fine search."""

    spacing: float
    """mm between the points of the plane."""
    window: float
    """mm: side of the LNCC window. Large windows see anatomy, small ones texture."""
    rounds: tuple[Round, ...]
    speckle: float = 0.0
    """Standard deviation (mm) of a blur of the volume, beyond what its resolution asks for. Every acquisition has its
    own speckle, so the volume's only makes false summits, unless the frame was acquired together with the volume."""


COARSE_TO_FINE = (
    LevelSettings(6.4, 60.0, (Round(6, keep=8), Round(20, keep=6)), speckle=1.4),
    LevelSettings(3.2, 40.0, (Round(15, keep=2), Round(5, keep=2, spread=((11.0, 10.0),))), speckle=1.4),
    LevelSettings(1.6, 25.0, (Round(12, keep=1),), speckle=1.4),
    LevelSettings(0.8, 25.0, (Round(15, keep=1),)),
)


@dataclass(frozen=True)
class GateSettings:
    """When a result is believed. A result has to pass every line.

    The defaults of LNCC, margin, sigma and surprise are those that `deeprs2v learn-gate` found for deeprs2v+lncc.
    """

    minimum_lncc: float = 0.364
    """Similarity (LNCC) of the frame and the volume's slice, on the finest level."""
    minimum_overlap: float = 0.3
    """Share of the frame's valid area that lies in the volume's data."""
    minimum_margin: float = 0.0494
    """Share of its score by which the result beat the best different one when several were last compared."""
    maximum_sigma: float = 2.09
    """Standard deviation (mm) in the direction that the image determines least, with rotations at a lever of 50 mm."""
    maximum_surprise: float = 2.87
    """Distance of the result from the prior, in standard deviations."""
    maximum_translation: float = 40.0
    """Distance of the result from the prior at the image centre (mm)."""
    maximum_rotation: float = 30.0
    """Angle between the prior and the result (degrees)."""

    LIMITS: ClassVar[Mapping[str, Range]] = {
        "minimum_lncc": Range(-1.0, 1.0),
        "minimum_overlap": Range(0.0, 1.0),
        "minimum_margin": Range(-inf, 1.0),
        "maximum_sigma": Range(0.0),
        "maximum_surprise": Range(0.0),
        "maximum_translation": Range(0.0),
        "maximum_rotation": Range(0.0),
    }

    def __post_init__(self) -> None:
        """Raise InputError for a number outside its limits. An infinite one lets everything pass."""
        check_limits("gate.", self, self.LIMITS)

    def widened(self, factor: float) -> GateSettings:
        """The gate for a search around a prior that is ``factor`` times as wide.

        There are more places where it may go wrong, so the result has to be surer. On simulated subjects, 95 % of the
        right results of such searches are.
        """
        return replace(
            self,
            maximum_sigma=0.8 * self.maximum_sigma,
            maximum_translation=factor * self.maximum_translation,
            maximum_rotation=factor * self.maximum_rotation,
        )


@dataclass(frozen=True)
class OrganMotion:
    """How far the organ may be from where it was last found, however long ago that was.

    Raises InputError for a number outside its limits.
    """

    translation: float = 6.0
    """How far the organ may have moved along each axis of the image: standard deviation (mm)."""
    rotation: float = 4.0
    """How far it may have turned about each axis: standard deviation (degrees)."""
    memory: float = 1.0
    """Seconds after which the last known place says little about the present one: a quarter of a breath."""
    range: float = 50.0
    """Farther (mm) from where it was last accepted, the organ cannot be: an encoder slipped or the patient moved."""

    LIMITS: ClassVar[Mapping[str, Range]] = {
        "translation": Range(0.0, 100.0, above=True),
        "rotation": Range(0.0, 90.0, above=True),
        "memory": Range(0.0, 60.0, above=True),
        "range": Range(0.0, 1000.0, above=True),
    }

    def __post_init__(self) -> None:
        check_limits("organ.", self, self.LIMITS)


@dataclass(frozen=True)
class PredictionSettings:
    """When a prediction may be shown. Raises InputError for a number outside its limits."""

    horizon: float = 0.3
    """How far ahead the motion is predicted: seconds after what the last accepted image shows."""
    maximum_error: float = 4.0
    """No prediction is shown while recent ones were farther off than this (mm, RMS, at the volume's centre)."""
    unmodelled: float = 0.3
    """Error (mm, standard deviation along each axis) that no registration sees and no averaging removes: the organ's
    deformation and the steps of the arm's encoders. It is added to every covariance that is published."""

    LIMITS: ClassVar[Mapping[str, Range]] = {
        "horizon": Range(0.0, 1.0, above=True),
        "maximum_error": Range(0.0, 100.0, above=True),
        "unmodelled": Range(0.0, 100.0, above=True),
    }

    def __post_init__(self) -> None:
        check_limits("prediction.", self, self.LIMITS)


@dataclass(frozen=True)
class RegistrationSettings:
    """The tree. `levels` from coarse to fine. Raises InputError for a negative `abdominal_wall`."""

    levels: tuple[LevelSettings, ...] = COARSE_TO_FINE
    belief_weight: float = 0.0075
    """Twice the cost in LNCC of one squared standard deviation from the belief, per mm between the points of a plane:
    on a coarse plane fewer points speak against the belief."""
    abdominal_wall: float = ABDOMINAL_WALL
    follow: tuple[tuple[int, int], tuple[int, int]] = ((2, 10), (3, 4))
    """The two levels on which a frame is followed, counted from the coarsest, and how many poses each may try."""
    lost: float = 4.0
    """How many times wider than `organ` the prior is when nothing is known of the organ and a first search failed."""
    gate: GateSettings = field(default_factory=GateSettings)
    organ: OrganMotion = field(default_factory=OrganMotion)
    prediction: PredictionSettings = field(default_factory=PredictionSettings)

    def __post_init__(self) -> None:
        if not self.abdominal_wall >= 0.0:
            raise InputError(f"abdominal_wall: must not be negative, but is {self.abdominal_wall:g} mm")
