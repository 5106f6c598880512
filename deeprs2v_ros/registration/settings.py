"""Every setting of the registration, with its default, as one typed tree."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LevelSettings:
    """One level of the coarse-to-fine search."""

    spacing: float
    """mm between the points of the plane."""
    window: float
    """mm: side of the LNCC window. Large windows see anatomy, small ones texture."""
    iterations: int
    """Poses tried at the most, for each hypothesis."""
    keep: int
    """Distinct hypotheses that go on to the next level."""


COARSE_TO_FINE = (
    LevelSettings(spacing=6.4, window=60.0, iterations=6, keep=12),
    LevelSettings(spacing=6.4, window=60.0, iterations=20, keep=6),
    LevelSettings(spacing=3.2, window=40.0, iterations=15, keep=2),
    LevelSettings(spacing=1.6, window=25.0, iterations=12, keep=1),
    LevelSettings(spacing=0.8, window=25.0, iterations=15, keep=1),
)


@dataclass(frozen=True)
class GateSettings:
    """When a result is believed. A result has to pass every line."""

    minimum_lncc: float = 0.4
    """LNCC on the finest level."""
    minimum_overlap: float = 0.3
    """Share of the frame's valid area that lies in the volume's data."""
    minimum_margin: float = 0.05
    """By what share of its score the result beat the best different one, the last time that several were compared."""
    maximum_sigma: float = 0.26
    """mm: standard deviation in the direction that the image determines least (rotations at a lever of 50 mm)."""
    maximum_translation: float = 40.0
    """mm between the prior and the result, at the image centre."""
    maximum_rotation: float = 30.0
    """Degrees between the prior and the result."""


@dataclass(frozen=True)
class RegistrationSettings:
    """The tree. `levels` from coarse to fine."""

    levels: tuple[LevelSettings, ...] = COARSE_TO_FINE
    spread: tuple[tuple[float, float], ...] = ((8.0, 8.0), (15.0, 12.0))
    """Further starting points: (mm, degrees) from the prior, along and about each image axis, both ways."""
    gate: GateSettings = field(default_factory=GateSettings)
