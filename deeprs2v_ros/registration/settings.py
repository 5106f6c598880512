"""Every setting of the registration, with its default, as one typed tree."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from deeprs2v_ros.errors import InputError

ABDOMINAL_WALL = 15.0
"""mm behind the probe's face, skin, fat and muscle, that do not breathe with the organ and are not compared."""


def check_between(name: str, value: float, least: float, most: float) -> None:
    """Raise InputError, naming the setting, unless ``value`` is above ``least`` and at most ``most``."""
    if not least < value <= most:
        raise InputError(f"{name}: must be above {least:g} and at most {most:g}, but is {value:g}")


@dataclass(frozen=True)
class Round:
    """One round of climbs on a level, each from a starting point of its own."""

    iterations: int
    """Poses tried at the most in one climb."""
    keep: int
    """Distinct summits that go on to the next round."""
    spread: tuple[tuple[float, float], ...] = ()
    """Further starting points: (mm, degrees) from the best one so far, along and about each image axis, both ways."""


@dataclass(frozen=True)
class LevelSettings:
    """One level of the coarse-to-fine search."""

    spacing: float
    """mm between the points of the plane."""
    window: float
    """mm: side of the LNCC window. Large windows see anatomy, small ones texture."""
    rounds: tuple[Round, ...]
    speckle: float = 0.0
    """mm: standard deviation of a blur of the volume, on top of what its resolution takes. Another acquisition has
    another speckle: that of the volume only makes false summits, unless the frame was acquired as the volume was."""


COARSE_TO_FINE = (
    LevelSettings(6.4, 60.0, (Round(6, keep=8), Round(20, keep=6)), speckle=1.4),
    LevelSettings(3.2, 40.0, (Round(15, keep=2), Round(5, keep=2, spread=((11.0, 10.0),))), speckle=1.4),
    LevelSettings(1.6, 25.0, (Round(12, keep=1),), speckle=1.4),
    LevelSettings(0.8, 25.0, (Round(15, keep=1),)),
)


@dataclass(frozen=True)
class GateSettings:
    """When a result is believed. A result has to pass every line.

    LNCC, margin, sigma and surprise are what `deeprs2v learn-gate` finds; these, for deeprs2v+lncc.
    """

    minimum_lncc: float = 0.364
    """LNCC on the finest level."""
    minimum_overlap: float = 0.3
    """Share of the frame's valid area that lies in the volume's data."""
    minimum_margin: float = 0.0494
    """By what share of its score the result beat the best different one, the last time that several were compared."""
    maximum_sigma: float = 2.09
    """mm: standard deviation in the direction that the image determines least (rotations at a lever of 50 mm)."""
    maximum_surprise: float = 2.87
    """Standard deviations between the prior and the result."""
    maximum_translation: float = 40.0
    """mm between the prior and the result, at the image centre."""
    maximum_rotation: float = 30.0
    """Degrees between the prior and the result."""

    def __post_init__(self) -> None:
        """Raise InputError for a limit that cannot be; an infinite one asks for nothing."""
        for name, value in vars(self).items():
            least, most = {"minimum_lncc": (-1.0, 1.0), "minimum_overlap": (0.0, 1.0)}.get(
                name, (-inf, 1.0) if name == "minimum_margin" else (0.0, inf)
            )
            if not least <= value <= most:
                raise InputError(f"gate.{name}: must be between {least:g} and {most:g}, but is {value:g}")

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
    """How far the organ may be from where it was last found, however long ago that was: standard deviations.

    Raises InputError for one that cannot be.
    """

    translation: float = 6.0
    """mm along each axis of the image."""
    rotation: float = 4.0
    """Degrees about each."""
    memory: float = 1.0
    """Seconds after which where the organ was says little of where it is: a quarter of a breath."""
    range: float = 50.0
    """mm beyond which two places of the organ are not plausible: an encoder has slipped, or the patient moved."""

    def __post_init__(self) -> None:
        for name, most in (("translation", 100.0), ("rotation", 90.0), ("memory", 60.0), ("range", 1000.0)):
            check_between(f"organ.{name}", getattr(self, name), 0.0, most)


@dataclass(frozen=True)
class PredictionSettings:
    """When a prediction may be shown. Raises InputError for a number that cannot be."""

    horizon: float = 0.3
    """Seconds after the last registered image within which its motion is carried on."""
    maximum_error: float = 4.0
    """mm: no prediction while recent ones were further off than this (root mean square, at the volume's centre)."""
    unmodelled: float = 0.3
    """mm: standard deviation along each axis of what no registration sees and no average takes away: that the organ
    deforms, and the steps of the arm's encoders. What is told of the motion is at least as unsure."""

    def __post_init__(self) -> None:
        for name, most in (("horizon", 1.0), ("maximum_error", 100.0), ("unmodelled", 100.0)):
            check_between(f"prediction.{name}", getattr(self, name), 0.0, most)


@dataclass(frozen=True)
class RegistrationSettings:
    """The tree. `levels` from coarse to fine. Raises InputError for a negative `abdominal_wall`."""

    levels: tuple[LevelSettings, ...] = COARSE_TO_FINE
    belief_weight: float = 0.0075
    """Twice what a squared standard deviation from the belief costs in LNCC, for each mm between the points of a plane:
    the coarser it is, the fewer points speak against the belief."""
    abdominal_wall: float = ABDOMINAL_WALL
    follow: tuple[tuple[int, int], tuple[int, int]] = ((2, 10), (3, 4))
    """The two levels, counted from the coarsest, on which a frame is followed, and poses tried on each at the most."""
    lost: float = 4.0
    """How many times wider than `organ` the prior is when nothing is known of the organ, and a first search failed."""
    gate: GateSettings = field(default_factory=GateSettings)
    organ: OrganMotion = field(default_factory=OrganMotion)
    prediction: PredictionSettings = field(default_factory=PredictionSettings)

    def __post_init__(self) -> None:
        if not self.abdominal_wall >= 0.0:
            raise InputError(f"abdominal_wall: must not be negative, but is {self.abdominal_wall:g} mm")
