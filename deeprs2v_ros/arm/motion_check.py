"""Whether joints can have moved as samples say, and which samples to believe when they contradict each other.

One sample can follow another if no joint moved farther between them than its velocity limit and a slack allow. Samples
that follow each other are a run. Two runs are kept: the one that is trusted, and a rival.

- Nobody believes one sample alone. At the start, and after a silence, samples are withheld until `CONFIRMED` of them
  follow each other. Then all of them are good, late by that much. A wild one among the first is left behind.
- What does not follow the trusted run is refused. If it is hardly too fast (`JUMP`), that is all: stamps jitter and
  limits are round numbers, so the place is good as soon as the time needed has passed. If it jumped, it begins a rival,
  and what follows a rival is refused too, however much time has passed: the arm was seen not to travel there.
- Soon after a wild reading, or a few that do not even agree, what follows the trusted run ends the rival.
- A rival of several samples ends when the samples jump back by as much as they had jumped: counts that were off are
  right again, wherever the arm went meanwhile.
- A rival that has become longer than the trusted run shows that it is this one that began wrongly, as encoders do that
  are read before they are ready. Then the rival is trusted from the next sample on, and that is a refusal of its own.
- But a run of `ESTABLISHED` samples is never replaced. What persistently jumps away from it are lost counts, a slipped
  encoder or a wrong zero: no evidence in the counts could make these good, so they stay refused until they come back,
  the source falls silent (it was restarted), or somebody resets the check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from deeprs2v_ros.arm.refusals import SampleError

SILENCE = 0.25
"""s without any sample, after which nothing is known of what lies between."""
CONFIRMED = 3
ESTABLISHED = 20
BRIEF = 0.1
"""s for which the arm may move on unseen while readings are wild; after that they have to come back to where it was."""
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
    jump: dict[str, float]  # by how much samples have jumped away from the trusted run,
    spent: float  # and the s in which the arm may have moved as well
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
        if self._follows_trusted(time, sample):
            self._trusted.go_on(time, sample)
            self._rival = None
            return [sample]
        if self._rival is not None and self._needed(self._rival, sample)[0] <= time - self._rival.time:
            self._rival.go_on(time, sample)
            return self._confirm(sample) if self._trusted is None else self._contradict(self._trusted, self._rival)
        last = self._rival or self._trusted
        if last is None:
            self._begin(time, sample)
            return []
        needed, joint = self._needed(last, sample)
        if self._trusted is None or needed > JUMP * (time - last.time) + self._jitter:
            self._begin(time, sample)
        moved = abs(sample.values[joint] - last.values[joint])
        reason = f"moved {moved:.4g} (rad or mm) in {time - last.time:.4g} s, faster than it can"
        raise SampleError("speed", joint, reason)

    def _follows_trusted(self, time: float, sample: JointSample) -> bool:
        trusted, rival = self._trusted, self._rival
        if trusted is None:
            return False
        needed, elapsed = self._needed(trusted, sample)[0], time - trusted.time
        if rival is None:
            return needed <= elapsed
        if rival.length < CONFIRMED:
            return needed <= min(elapsed, BRIEF, self._needed(rival, sample)[0])
        return needed <= elapsed and self._undoes(rival, time, sample)

    def _undoes(self, rival: _Run, time: float, sample: JointSample) -> bool:
        """Whether the jump from the ``rival`` to a sample leaves nothing of those that led to it."""
        return all(
            abs(rival.jump[name] + sample.values[name] - rival.values[name])
            <= slack + velocity * (rival.spent + time - rival.time)
            for name, (velocity, slack) in self._allowed.items()
        )

    def _begin(self, time: float, sample: JointSample) -> None:
        before = self._rival or self._trusted
        jump, spent = dict.fromkeys(sample.values, math.inf), 0.0
        if before is not None and before.length >= CONFIRMED:  # or else it is noise, which comes everywhere
            jump = {name: before.jump[name] + value - before.values[name] for name, value in sample.values.items()}
            spent = before.spent + time - before.time
        self._rival = _Run(time, sample.values, [sample], jump, spent)

    def _confirm(self, sample: JointSample) -> list[JointSample]:
        """The first run goes on."""
        run = self._rival
        run.withheld.append(sample)
        if run.length < CONFIRMED:
            return []
        self._trust(run)
        good, run.withheld = run.withheld, []
        return good

    def _trust(self, run: _Run) -> None:
        self._trusted, self._rival = run, None
        run.jump, run.spent = dict.fromkeys(run.jump, 0.0), 0.0

    def _contradict(self, trusted: _Run, rival: _Run) -> NoReturn:
        """Raise SampleError for a ``rival`` that went on."""
        if trusted.length < ESTABLISHED and rival.length > max(trusted.length, CONFIRMED):
            self._trust(rival)
            reason = f"{rival.length} samples that agree contradict the first {trusted.length}, which were wrong"
            raise SampleError("reference", None, reason)
        joint = max(self._allowed, key=lambda name: abs(rival.jump[name]) / self._allowed[name][0])
        reason = f"jumped by {rival.jump[joint]:.4g} (rad or mm): counts were lost, or a zero is wrong"
        raise SampleError("speed", joint, reason)

    def _needed(self, run: _Run, sample: JointSample) -> tuple[float, str]:
        """The s that the slowest of the joints needs from a ``run`` to a ``sample``, and its name."""
        return max(
            ((abs(sample.values[name] - run.values[name]) - slack) / velocity, name)
            for name, (velocity, slack) in self._allowed.items()
        )
