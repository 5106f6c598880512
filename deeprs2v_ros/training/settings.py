"""The configuration of a training run: a typed tree, read from YAML."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file
from deeprs2v_ros.network.architectures import ARCHITECTURES
from deeprs2v_ros.network.observation import Grid
from deeprs2v_ros.reading import read_yaml
from deeprs2v_ros.training.clips import ClipFiles


@dataclass(frozen=True)
class NetworkSettings:
    """Which network, and the grid it sees."""

    architecture: str = "correspondence"
    width: float = 1.0
    """Channels, as a multiple of the usual ones."""
    spacing: float = 4.0
    """mm between the points of the grid."""
    size: tuple[int, int, int] = (60, 48, 20)
    """Points along x, y, z."""

    @property
    def grid(self) -> Grid:
        """The grid."""
        return Grid(self.spacing, self.size)


@dataclass(frozen=True)
class SubjectSettings:
    """Simulated subjects: ``count`` of them from seed ``first`` on. Those that are not there yet are made."""

    first: int
    count: int


@dataclass(frozen=True)
class DataSettings:
    """What is trained and validated on. Subjects of the one are never those of the other."""

    train: SubjectSettings = field(default_factory=lambda: SubjectSettings(1000, 56))
    validate: SubjectSettings = field(default_factory=lambda: SubjectSettings(9000, 4))
    recorded: tuple[ClipFiles, ...] = ()
    """Recorded clips to train on as well."""
    recorded_validate: tuple[ClipFiles, ...] = ()
    """Recorded clips to validate on as well."""


@dataclass(frozen=True)
class RunSettings:
    """How long, how fast, from which seed."""

    steps: int = 3000
    batch: int = 4
    learning_rate: float = 2e-3
    """Highest one: it rises during the first tenth of the steps and falls to nothing at the end."""
    reach: float = 2.2
    """Displacements up to this multiple of the paper's."""
    invented: float = 0.0
    """Share of the pairs that show invented anatomies."""
    validate_every: int = 250
    patience: int = 6
    """Validations without a better one after which training stops."""
    seed: int = 0


@dataclass(frozen=True)
class TrainingSettings:
    """The tree."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    data: DataSettings = field(default_factory=DataSettings)
    run: RunSettings = field(default_factory=RunSettings)


def read_settings(path: str | Path) -> TrainingSettings:
    """Read a configuration file; what it does not name keeps its default.

    Raises InputError, naming file and field, for a file that is no YAML mapping, unknown fields, values of another
    type, values that must be positive and are not, and a subject that is both trained and validated on.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    values = read_yaml(path)
    settings = _read(TrainingSettings, {} if values is None else values, str(path))
    _check(settings, path)
    return settings


def _check(settings: TrainingSettings, path: Path) -> None:
    if settings.network.architecture not in ARCHITECTURES:
        raise InputError(f"{path}: network.architecture is none of {', '.join(ARCHITECTURES)}")
    run = settings.run
    positive = {
        "network.width": settings.network.width, "network.spacing": settings.network.spacing,
        "network.size": min(settings.network.size), "run.steps": run.steps, "run.batch": run.batch,
        "run.learning_rate": run.learning_rate, "run.reach": run.reach, "run.validate_every": run.validate_every,
        "run.patience": run.patience,
    }  # fmt: skip
    for name, value in positive.items():
        if not value > 0:
            raise InputError(f"{path}: {name} must be positive, not {value}")
    if not 0.0 <= run.invented <= 1.0:
        raise InputError(f"{path}: run.invented must be between 0 and 1, not {run.invented}")
    train, validate = (
        {f"{seed:04d}" for seed in range(part.first, part.first + part.count)} | {clip.subject for clip in recorded}
        for part, recorded in (
            (settings.data.train, settings.data.recorded),
            (settings.data.validate, settings.data.recorded_validate),
        )
    )
    both = sorted(train & validate)
    if both:
        raise InputError(f"{path}: subject {both[0]} is both trained and validated on")


def _read(kind: Any, value: Any, where: str) -> Any:
    """``value`` as YAML has it, as a ``kind``."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise InputError(f"{where}: must be a mapping")
        hints, names = get_type_hints(kind), {each.name for each in dataclasses.fields(kind)}
        unknown = sorted(str(name) for name in value if name not in names)
        if unknown:
            raise InputError(f"{where}: {unknown[0]} is not a field here; known are {', '.join(sorted(names))}")
        try:
            return kind(**{name: _read(hints[name], each, f"{where}: {name}") for name, each in value.items()})
        except TypeError as error:
            raise InputError(f"{where}: {str(error).split(') ')[-1]}") from error
    if getattr(kind, "__origin__", None) is tuple:
        kinds = kind.__args__
        if not isinstance(value, list) or (kinds[-1] is not ... and len(value) != len(kinds)):
            raise InputError(f"{where}: must be a list" + ("" if kinds[-1] is ... else f" of {len(kinds)}"))
        return tuple(_read(kinds[0], each, f"{where}[{index}]") for index, each in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path or kind == Path | None:
        kind, value = Path, Path(value) if isinstance(value, str) else value
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{where}: must be a {kind.__name__}, not {value!r}")
    return value
