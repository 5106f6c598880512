"""What each state looks like, and every reason in words that need no manual."""

from __future__ import annotations

from deeprs2v_ros.registration.supervisor import State

Colour = tuple[int, int, int]

GREY, GREEN, AMBER, RED = (140, 145, 150), (60, 190, 90), (245, 170, 40), (225, 60, 55)

COLOURS: dict[State, Colour] = {
    State.UNCONFIGURED: GREY,
    State.INACTIVE: GREY,
    State.WAITING: GREY,
    State.INITIALISING: GREY,
    State.TRACKING: GREEN,
    State.HOLDING: AMBER,
    State.LOST: RED,
    State.FAULT: RED,
}
"""RGB of each state."""

_STATES = {
    State.UNCONFIGURED: "The registration is not configured",
    State.INACTIVE: "The registration is stopped",
    State.WAITING: "Waiting for images",
    State.INITIALISING: "Searching: nothing is corrected yet",
    State.TRACKING: "Tracking: the drawing may be believed",
    State.HOLDING: "Holding the last position for a moment",
    State.LOST: "Lost: nothing is known of where the tumour is",
    State.FAULT: "Fault: call for technical help",
}

_REASONS = {
    "AMBIGUOUS": "several places fit, show more anatomy",
    "CLOCK_JUMP": "the clock was set back",
    "CONFIRMING": "the first results are being confirmed",
    "CONTRADICTED": "a second look found another place",
    "DUPLICATE": "the same image came twice",
    "EXPIRED": "no good result in time",
    "FAR_FUTURE": "the images' clock is ahead",
    "FINDING_MASK": "the valid area of the images is being found",
    "FROZEN": "the picture is frozen",
    "ILL_CONDITIONED": "the image does not show enough, show more vessels",
    "IMAGE_STALE": "no images come",
    "IMPLAUSIBLE_JUMP": "the position jumped, check the arm",
    "LATE": "results come too late",
    "LOW_LNCC": "the image does not look like the volume, check contact and gain",
    "MOVED_VOLUME": "the volume was placed anew",
    "NEW_VOLUME": "another volume was loaded",
    "NO_STATUS": "nothing is said of new images",
    "NO_TRANSFORM": "the arm does not say where the probe is",
    "NO_VOLUME": "there is no volume",
    "NO_WEIGHTS": "the network's weights cannot be used",
    "OUT_OF_ORDER": "images come out of order",
    "OUT_OF_VOLUME": "the probe is outside the volume, move it back",
    "RESET": "started over",
    "STAMPED_LATE": "the images lag behind the probe",
    "STARTING": "the volume is being prepared",
    "SUPERSEDED": "a newer image came",
    "UNEXPECTED": "the result is far from what is likely",
    "UNREADABLE": "the images cannot be read",
    "WRONG_SIZE": "the images have the wrong size",
    "ZERO_STAMP": "the images have no time",
}


def headline(state: State) -> str:
    """What ``state`` means to those who look at a picture."""
    return _STATES[state]


def because(state: State, reason: str) -> str:
    """Why, in words; an empty string where there is nothing to say."""
    if state is State.FAULT:
        return reason
    return "" if reason == state.name else _REASONS.get(reason, reason)
