"""What a replay did over time: state, likeness and the organ's motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from deeprs2v_ros.pages import png
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.replay.statuses import Status

_ACCEPTED, _REJECTED, _FORECAST = "#0072B2", "#D55E00", "#999999"


def course_plot(statuses: Sequence[Status]) -> bytes:
    """PNG: the state after each image, LNCC of its registration, and how far the organ was from rest."""
    figure = Figure(figsize=(12, 7.0), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=[1.2, 2, 2])
    zero = statuses[0].received
    seconds = np.array([(each.received - zero) / 1e9 for each in statuses])
    states = np.array([State[each.state].value for each in statuses])
    shown = sorted(set(states.tolist()))
    above.step(seconds, states, where="post", color="black", linewidth=1.0)
    above.set_yticks(shown, [State(value).name for value in shown])

    accepted = np.array([each.accepted for each in statuses])
    lncc = np.array([each.lncc for each in statuses])
    moved = np.array([_shift(each.motion, each.registered) for each in statuses])
    forecast = np.array([_shift(each.forecast_motion, each.registered) for each in statuses])
    for axes, values in ((middle, lncc), (below, moved)):
        for chosen, colour, label in ((accepted, _ACCEPTED, "accepted"), (~accepted, _REJECTED, "not accepted")):
            axes.plot(seconds[chosen], values[chosen], ".", color=colour, markersize=5, label=label)
    below.plot(seconds, forecast, "-", color=_FORECAST, linewidth=0.8, zorder=0, label="predicted when the image came")
    middle.set_ylabel("LNCC")
    below.set(ylabel="motion of what the plane\nshows from rest (mm)", xlabel="time since the first image (s)")
    for axes in (above, middle, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    below.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
    return png(figure, dpi=130)


def _shift(motion: np.ndarray | None, registered: np.ndarray | None) -> float:
    """Mm by which a motion C has moved the tissue that lies at the origin of the image."""
    if motion is None or registered is None:
        return float("nan")
    at = registered[:, 3]
    return float(np.linalg.norm((at - np.linalg.solve(motion, at))[:3]))
