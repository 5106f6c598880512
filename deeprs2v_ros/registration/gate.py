"""The gate: whether a result is believed, and if not, why.

No single signal is enough. LNCC can be high where there is little to see, and low where speckle has changed. A plane
can be sure of its depth and blind across it. And what repeats itself, such as wires, fits in several places.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from deeprs2v_ros.registration.settings import GateSettings


class Reason(str, Enum):
    """Why a result was rejected."""

    NONE = ""
    OUT_OF_VOLUME = "OUT_OF_VOLUME"
    LOW_LNCC = "LOW_LNCC"
    IMPLAUSIBLE_JUMP = "IMPLAUSIBLE_JUMP"
    ILL_CONDITIONED = "ILL_CONDITIONED"
    AMBIGUOUS = "AMBIGUOUS"
    UNEXPECTED = "UNEXPECTED"
    STAMPED_LATE = "STAMPED_LATE"


@dataclass(frozen=True)
class Signals:
    """What the gate looks at; see `GateSettings` for each."""

    lncc: float
    overlap: float
    margin: float
    sigma: float
    surprise: float
    translation: float
    rotation: float


def judge(signals: Signals, gate: GateSettings) -> Reason:
    """The first line of the gate that the ``signals`` do not pass, or Reason.NONE."""
    checks = (
        (signals.overlap >= gate.minimum_overlap, Reason.OUT_OF_VOLUME),
        (signals.translation <= gate.maximum_translation, Reason.IMPLAUSIBLE_JUMP),
        (signals.rotation <= gate.maximum_rotation, Reason.IMPLAUSIBLE_JUMP),
        (signals.lncc >= gate.minimum_lncc, Reason.LOW_LNCC),
        (signals.sigma <= gate.maximum_sigma, Reason.ILL_CONDITIONED),
        (signals.surprise <= gate.maximum_surprise, Reason.UNEXPECTED),
        (signals.margin >= gate.minimum_margin, Reason.AMBIGUOUS),
    )
    return next((reason for passed, reason in checks if not passed), Reason.NONE)
