"""The methods of the comparison by name, each as a tracker with the same interface."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.settings import GateSettings, RegistrationSettings
from deeprs2v_ros.registration.tracker import Registration, Tracker


@dataclass(frozen=True)
class Method:
    """What a method is made of: the shipped ``weights`` it uses, if any, whether LNCC corrects the result, its gate."""

    weights: str | None = None
    correction: bool = True
    gate: GateSettings = field(default_factory=GateSettings)


# Gates are those of `deeprs2v learn-gate --method`. That of deeprs2v+lncc serves the others: of the results of lncc it
# lets three of four right ones pass and no wrong one, for fvrnet nothing can be learnt, and for itk nothing was.
METHODS = {
    "itk": Method(),
    "fvrnet": Method("fvrnet", correction=False),
    "lncc": Method(),
    "deeprs2v": Method(
        "correspondence",
        correction=False,
        gate=GateSettings(minimum_lncc=0.316, maximum_sigma=3.55, maximum_surprise=1.05),
    ),
    "deeprs2v+lncc": Method("correspondence"),
}


class RegistersFrames(Protocol):
    """What all methods have in common."""

    def register_frame(
        self, image: NDArray[np.uint8], tracked: Array, time: int = 0, arm: Array | None = None
    ) -> Registration:
        """See `Tracker`."""

    def reset(self) -> None:
        """Forget the organ's motion."""


DEVICES = ("cpu", "cuda")

LIVE = ("deeprs2v+lncc", "lncc", "deeprs2v")
"""Methods that keep up with live images; the first is the one to use."""


def weights_file(method: str, weights: str | Path | None) -> Path | None:
    """The file of the weights that ``method`` uses, ``weights`` or its own; None for one without a network.

    Raises InputError if there is no such file, or where the network cannot run.
    """
    chosen = weights or METHODS[method].weights
    if METHODS[method].weights is None or chosen is None:
        return None
    try:
        # torch takes seconds to import, and a cart that uses LNCC alone does not need it.
        from deeprs2v_ros.network.checkpoint import find_weights
    except InputError as error:
        raise InputError(f"method: {method} {error}; the method lncc does without") from error
    return find_weights(chosen)


def check_weights(method: str, weights: str | Path | None) -> None:
    """Raise WeightsError now, rather than with the first volume, for weights that ``method`` cannot use."""
    file = weights_file(method, weights)
    if file is not None:
        from deeprs2v_ros.network.checkpoint import load_weights

        load_weights(file)


def make_tracker(
    method: str,
    volume: Volume,
    mask: NDArray[np.bool_],
    image_from_pixel: Array,
    temporal: bool = True,
    settings: RegistrationSettings | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
) -> RegistersFrames:
    """A tracker for ``method``, by default with its own gate.

    ``weights`` are a file or a shipped name in place of those that the method has.

    Raises InputError for an unknown method, for weights or a GPU that a method has no use for, for weights that cannot
    be read, for frames that a network without a correction is not for, and as `Tracker` does. With a correction, LNCC
    does without the network then, and says so.
    """
    if method not in METHODS:
        raise InputError(f"method: {method!r} is none of {', '.join(METHODS)}")
    made_of = METHODS[method]
    if made_of.weights is None:
        for name, asked in (("weights", weights is not None), ("device cuda", device != "cpu")):
            if asked:
                raise InputError(f"{name}: the method {method} has no network")
    settings = settings or RegistrationSettings(gate=made_of.gate)
    if method == "itk":
        from deeprs2v_ros.registration.itk import ItkTracker

        return ItkTracker(volume, mask, image_from_pixel, temporal, settings)
    propose = None
    if weights_file(method, weights) is not None:
        from deeprs2v_ros.network.checkpoint import choose_device, load_weights
        from deeprs2v_ros.network.prediction import Predictor, UnfitError

        checkpoint = load_weights(weights or made_of.weights)
        try:
            propose = Predictor(checkpoint, volume, mask, image_from_pixel, choose_device(device))
        except UnfitError as unfit:
            if not made_of.correction:
                raise
            logging.getLogger(__name__).warning("%s; registering without the network, by LNCC alone", unfit)
    return Tracker(volume, mask, image_from_pixel, settings, temporal, propose, made_of.correction)
