"""What has to be there before an image can be registered: the volume, the valid area, and compiled code.

Reading and smoothing take a second or two, so they run in the background while images keep coming in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import WeightsError
from deeprs2v_ros.geometry import image_centre, rigid
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.mask import find_mask
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.registration.arrivals import Refusal
from deeprs2v_ros.registration.methods import METHODS, make_tracker, weights_file
from deeprs2v_ros.registration.settings import RegistrationSettings
from deeprs2v_ros.registration.tracker import Tracker

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Recipe:
    """How images are registered: method, settings, weights (empty: the method's own), device, from frame to frame."""

    method: str
    settings: RegistrationSettings
    weights: str = ""
    device: str = "cpu"
    temporal: bool = True

    @classmethod
    def usual(cls, method: str) -> Recipe:
        """``method`` with its own gate and weights."""
        return cls(method, RegistrationSettings(gate=METHODS[method].gate))


@dataclass(frozen=True)
class Ready:
    """Everything that registering to one volume needs; ``source`` and ``weights``, if any, are file names and SHA-256.

    ``mask`` (rows, columns) is the valid area of the images.
    """

    tracker: Tracker = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)
    source: str
    weights: str


class Preparation:
    """Collects what is needed, and says what is still missing.

    ``mask`` (rows, columns) may be None: it is then found from the first ``mask_frames`` images. ``report`` is told
    what went wrong; then the mask is looked for in the next images, and another volume waited for.
    """

    def __init__(
        self,
        background: Executor,
        images: ImageGeometry,
        mask: NDArray[np.bool_] | None,
        mask_frames: int,
        recipe: Recipe,
        report: Callable[[BaseException], None],
    ) -> None:
        self._background, self._images = background, images
        self._mask, self._mask_frames = mask, mask_frames
        self._recipe, self._report = recipe, report
        if METHODS[recipe.method].weights is not None:  # takes seconds to import, while there is no volume yet
            background.submit(import_module, "deeprs2v_ros.network.prediction")
        self._frames: list[NDArray[np.uint8]] = []
        self._path = ""
        self._missing = Refusal.NO_VOLUME
        self._finding: Future[NDArray[np.bool_]] | None = None
        self._loading: Future[Ready] | None = None
        self.ready: Ready | None = None

    def use_volume(self, path: str) -> None:
        """Prepare another volume, whatever was prepared before."""
        if self._loading is not None:
            self._loading.cancel()  # or all volumes named in a row would be read one after the other
        self._path, self._loading, self.ready = path, None, None
        self._missing = Refusal.NO_VOLUME
        self._load()

    def advance(self, image: NDArray[np.uint8]) -> Refusal:
        """Go on with one more ``image``. Refusal.NONE once everything is there, else what is missing."""
        if self.ready is not None:
            return Refusal.NONE
        if self._mask is None:
            self._find_mask(image)
        if self._mask is None:
            return Refusal.FINDING_MASK
        if not self._path:
            return self._missing
        if not self._loading.done():
            return Refusal.STARTING
        loading, self._loading = self._loading, None
        self.ready = self._outcome(loading)
        if self.ready is None:
            self._path = ""
            at_fault = isinstance(loading.exception(), WeightsError)
            self._missing = Refusal.NO_WEIGHTS if at_fault else Refusal.NO_VOLUME
            return self._missing
        return Refusal.NONE

    def _find_mask(self, image: NDArray[np.uint8]) -> None:
        if self._finding is None:
            self._frames.append(image)
            if len(self._frames) < self._mask_frames:
                return
            self._finding = self._background.submit(find_mask, np.stack(self._frames))
            self._frames = []
        if self._finding.done():
            self._mask = self._outcome(self._finding)
            self._finding = None
            self._load()

    def _load(self) -> None:
        """Begin to prepare the last volume, if there is one and the valid area is known."""
        if self._path and self._mask is not None:
            self._loading = self._background.submit(prepare, self._path, self._images, self._mask, self._recipe)

    def _outcome(self, future: Future[Outcome]) -> Outcome | None:
        error = future.exception()
        if error is None:
            return future.result()
        self._report(error)
        return None


def prepare(path: str | Path, images: ImageGeometry, mask: NDArray[np.bool_], recipe: Recipe) -> Ready:
    """A tracker for the volume at ``path`` that has compiled, or read from the cache, what it needs.

    Raises InputError for a file that is no volume, and as `make_tracker` does: WeightsError for its weights.
    """
    volume = read_volume(path)
    tracker = make_tracker(
        recipe.method, volume, mask, images.image_from_pixel, recipe.temporal, recipe.settings, recipe.weights or None,
        recipe.device,
    )  # fmt: skip
    weights = weights_file(recipe.method, recipe.weights or None)
    amid = rigid(translation=tracker.middle - image_centre(mask.shape, images.image_from_pixel))
    tracker.register_frame(np.zeros(mask.shape, np.uint8), amid)
    tracker.reset()
    return Ready(tracker, mask, _name_and_digest(Path(path)), _name_and_digest(weights) if weights else "")


def _name_and_digest(path: Path) -> str:
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
