"""From what was heard while a fault lasted to a verdict: was anything wrong shown as right, and was it said in time?

The state is what a subscriber knows: that of the last status it has received. Times in s on one clock, lengths in mm.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TRACKING, HOLDING = "TRACKING", "HOLDING"
WRONG = 5.0
"""mm at the target: what is farther off and shown as right is a wrong picture."""
LEAVING = 0.7
"""Seconds after the last good datum by which the state must not be TRACKING: the hold time and 0.2."""
RETURNING = 1.0
"""Seconds after the first good datum by which it has to be TRACKING again."""


@dataclass(frozen=True)
class Said:
    """A status as it was heard ``at`` some time.

    ``error`` is how far the target that is broadcast with it is from where it truly was at the ``stamp`` (ns), in
    base_link; ``seen`` the same as the image shows it, whatever the arm says of where the image is. NaN: nothing is
    broadcast.
    """

    at: float
    stamp: int
    state: str
    accepted: bool
    reason: str
    error: float
    seen: float

    @property
    def as_right(self) -> bool:
        """Whether this image's correction is shown as right."""
        return self.state == TRACKING and self.accepted


@dataclass(frozen=True)
class Answer:
    """What TF said of where the target is, asked ``at`` some time: its ``error`` in mm."""

    at: float
    error: float


@dataclass(frozen=True)
class Course:
    """All that was heard around one fault.

    ``began`` is when the last good datum before it was sent, ``ended`` the first one after it. ``sent`` are the stamps
    of all images that came early enough to be answered. ``now`` and ``predicted``: the target as last corrected and as
    predicted, asked many times a second.
    """

    began: float
    ended: float
    sent: Sequence[int]
    said: Sequence[Said]
    now: Sequence[Answer]
    predicted: Sequence[Answer]


@dataclass(frozen=True)
class Expectation:
    """What a fault may do. ``leaves``: nothing good comes meanwhile, so the state must not stay TRACKING.

    ``returning`` is how long it may take afterwards. ``arm_is_off``: joints are plausible and wrong, which no image
    tells; then the target counts as the image shows it.
    """

    leaves: bool = True
    returning: float = RETURNING
    arm_is_off: bool = False


@dataclass(frozen=True)
class Verdict:
    """The numbers of one fault, and in ``complaints`` what is not as it has to be.

    ``worst`` and ``seen`` are the largest errors of what was shown as right, in base_link and in the image; ``wrong``
    counts statuses. ``now`` and ``predicted`` are the largest errors of answers while TRACKING or HOLDING, and
    ``predicted_wrong`` counts those. ``left`` and ``returned`` are s after the last and the first good datum; infinite
    for never.
    """

    worst: float
    seen: float
    wrong: int
    now: float
    predicted: float
    predicted_wrong: int
    left: float
    returned: float
    missing: int
    repeated: int
    states: str
    complaints: tuple[str, ...]


def judge(course: Course, expectation: Expectation) -> Verdict:
    """What is to be said of one fault."""
    shown = [each for each in course.said if each.as_right]
    wrong = sum(_is_wrong(each, expectation) for each in shown)
    now, predicted = (_while_shown(answers, course.said) for answers in (course.now, course.predicted))
    predicted_wrong = 0 if expectation.arm_is_off else sum(error > WRONG for error in predicted)
    left, returned = _left(course), _returned(course)
    missing, repeated = account(course.sent, [each.stamp for each in course.said])
    complaints = {
        f"{wrong} wrong shown as right": wrong > 0,
        f"{predicted_wrong} wrong predictions": predicted_wrong > 0,
        f"TRACKING for {left:.2f} s": expectation.leaves and left > LEAVING,
        f"back after {returned:.2f} s": returned > expectation.returning,
        f"{missing} images without a status": missing > 0,
        f"{repeated} statuses too many": repeated > 0,
    }
    return Verdict(
        _most(each.error for each in shown),
        _most(each.seen for each in shown),
        wrong,
        _most(now),
        _most(predicted),
        predicted_wrong,
        left,
        returned,
        missing,
        repeated,
        _states(course),
        tuple(text for text, holds in complaints.items() if holds),
    )


def state_at(time: float, said: Sequence[Said]) -> str:
    """What a subscriber takes the state to be: that of the last status until then."""
    number = bisect_right([each.at for each in said], time)
    return said[number - 1].state if number else ""


def account(sent: Sequence[int], said: Sequence[int]) -> tuple[int, int]:
    """How many images have no status, and how many statuses there are beyond one for each image.

    Both by stamp, which several images may share. Statuses with a stamp that no image had are of no image.
    """
    images, statuses = Counter(sent), Counter(said)
    missing = sum((images - statuses).values())
    repeated = sum(statuses[stamp] - count for stamp, count in images.items() if statuses[stamp] > count)
    return missing, repeated


def _is_wrong(said: Said, expectation: Expectation) -> bool:
    return said.seen > WRONG or (said.error > WRONG and not expectation.arm_is_off)


def _while_shown(answers: Sequence[Answer], said: Sequence[Said]) -> list[float]:
    times = [each.at for each in said]
    states = (said[number - 1].state if number else "" for number in (bisect_right(times, a.at) for a in answers))
    return [a.error for a, state in zip(answers, states, strict=True) if state in (TRACKING, HOLDING)]


def _left(course: Course) -> float:
    if state_at(course.began, course.said) != TRACKING:
        return 0.0
    return next((s.at - course.began for s in course.said if s.at > course.began and s.state != TRACKING), math.inf)


def _returned(course: Course) -> float:
    if state_at(course.ended, course.said) == TRACKING:
        return 0.0
    return next((s.at - course.ended for s in course.said if s.at > course.ended and s.state == TRACKING), math.inf)


def _states(course: Course) -> str:
    """The states one after the other, from the beginning of the fault on."""
    states = [state_at(course.began, course.said), *(s.state for s in course.said if s.at > course.began)]
    return " ".join(state for number, state in enumerate(states) if number == 0 or state != states[number - 1])


def _most(values: Iterable[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)
