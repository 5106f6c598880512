"""Whether joints can have moved as samples say, and which samples to believe when they contradict each other.

One sample can follow another if no joint moved farther between them than its velocity limit and a slack allow. Samples
that follow each other are a run. Two runs are kept: the one that is trusted, and a rival. A sample belongs to the run
to which it is nearer, by the time that the joints would need.

- Nobody believes one sample alone. At the start, and after a silence, samples are withheld until `CONFIRMED` of them
  follow each other. Then all of them are good, late by that much. A wild one among the first is left behind.
- What does not follow the trusted run is refused. If it is hardly too fast (`JUMP`), that is all: stamps jitter and
  limits are round numbers, so the place is good as soon as the time needed has passed. If it jumped, it begins a rival,
  and what follows a rival is refused too, however much time has passed: the arm was seen not to travel there.
- A sample that follows the trusted run ends the rival: that was a wild reading, or some.
- A rival that has become longer than the trusted run shows that it is this one that began wrongly, as encoders do that
  are read before they are ready. Then the rival is trusted from the next sample on, and that is a refusal of its own.
- But a run of `ESTABLISHED` samples is never replaced. What persistently jumps away from it are lost counts, a slipped
  encoder or a wrong zero: no evidence in the counts could make these good, so they stay refused until they come back,
  the source falls silent (it was restarted), or somebody resets the check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from deeprs2v_ros.arm.refusals import SampleError

SILENCE = 0.25
"""s without any sample, after which nothing is known of what lies between."""
CONFIRMED = 3
ESTABLISHED = 20
JUMP = 2.0
"""Times the velocity limit from which it was no movement."""


class JointSample(NamedTuple):
    """Joint ``values`` (rad, mm) by name at ``stamp`` (ns)."""

    stamp: int
    values: dict[str, float]


@dataclass
class _Run:
    time: float
    values: dict[str, float]
    withheld: list[JointSample]
    length: int = 1

    def go_on(self, time: float, sample: JointSample) -> None:
        self.time, self.values = time, sample.values
        self.length += 1


class MotionCheck:
    """Follows samples of joints with ``velocities`` (rad/s, mm/s) and ``slacks`` (rad, mm), both by name.

    Times may be off by ``jitter`` s before what is too fast counts as a jump.
    """

    def __init__(self, velocities: Mapping[str, float], slacks: Mapping[str, float], jitter: float) -> None:
        self._jitter = jitter
        self._allowed = {name: (velocity, slacks[name]) for name, velocity in velocities.items()}
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._trusted: _Run | None = None
        self._rival: _Run | None = None  # before there is a trusted run, the one that may become it
        self._seen: float | None = None

    def take(self, time: float, sample: JointSample) -> list[JointSample]:
        """The samples that are good by this one, taken at ``time`` (s, of any origin): often it alone, or none yet.

        Raises SampleError "stamp" for a time that is not after the last sample's, "speed" for what does not follow, and
        "reference" when a rival takes the trusted run's place.
        """
        if self._seen is not None:
            if not time > self._seen:
                raise SampleError(
                    "stamp", None, f"the stamp {time:.6f} s is not after the last one, {self._seen:.6f} s"
                )
            if time - self._seen > SILENCE:
                self.reset()
        self._seen = time
        runs = [run for run in (self._trusted, self._rival) if run is not None]
        if not runs:
            self._begin(time, sample)
            return []
        needed, joint, run = min(
            ((*self._needed(run.values, sample.values), run) for run in runs), key=lambda found: found[0]
        )
        if needed > time - run.time:
            if self._trusted is None or needed > JUMP * (time - run.time) + self._jitter:
                self._begin(time, sample)
            moved = abs(sample.values[joint] - run.values[joint])
            reason = f"moved {moved:.4g} (rad or mm) in {time - run.time:.4g} s, faster than it can"
            raise SampleError("speed", joint, reason)
        run.go_on(time, sample)
        if run is self._trusted:
            self._rival = None
            return [sample]
        if self._trusted is None:
            return self._confirm(run, sample)
        self._contradict(self._trusted, run)

    def _begin(self, time: float, sample: JointSample) -> None:
        self._rival = _Run(time, sample.values, [sample])

    def _confirm(self, run: _Run, sample: JointSample) -> list[JointSample]:
        run.withheld.append(sample)
        if run.length < CONFIRMED:
            return []
        self._trusted, self._rival = run, None
        good, run.withheld = run.withheld, []
        return good

    def _contradict(self, trusted: _Run, rival: _Run) -> NoReturn:
        """Raise SampleError for a ``rival`` that went on."""
        if trusted.length < ESTABLISHED and rival.length > max(trusted.length, CONFIRMED):
            self._trusted, self._rival = rival, None
            reason = f"{rival.length} samples that agree contradict the first {trusted.length}, which were wrong"
            raise SampleError("reference", None, reason)
        _, joint = self._needed(trusted.values, rival.values)
        away = abs(rival.values[joint] - trusted.values[joint])
        reason = f"jumped, and stays {away:.4g} (rad or mm) away: counts were lost, or a zero is wrong"
        raise SampleError("speed", joint, reason)

    def _needed(self, there: Mapping[str, float], here: Mapping[str, float]) -> tuple[float, str]:
        """The s that the slowest of the joints needs from ``there``, and its name."""
        return max(
            ((abs(here[name] - there[name]) - slack) / velocity, name)
            for name, (velocity, slack) in self._allowed.items()
        )
