"""Which joint states may move the arm on TF, from any driver: the node and the replay use the same check.

TF keeps what it is told and forgets by the newest stamp, so one wrong joint state would be shown, and one wrong stamp
would hide all that is right. Nothing is clamped or mended: a joint state is good or refused, and then TF goes stale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deeprs2v_ros.arm.encoders import EncoderBank
from deeprs2v_ros.arm.motion_check import JointSample
from deeprs2v_ros.arm.refusals import SampleError
from deeprs2v_ros.registration.arrivals import Refusal, StampCheck

SECOND = 1_000_000_000
AHEAD, BEHIND = SECOND // 10, SECOND
"""ns by which a stamp may be later or earlier than the present."""
JITTER = 0.01
"""s by which a driver's stamps may be off."""
FAULTS = (
    "malformed", "missing", "nan", "limits", "zero_stamp", "far_future", "far_behind", "duplicate", "out_of_order",
    "speed", "reference",
)  # fmt: skip
"""Why joint states are refused, see `named`, `JointCheck` and `motion_check`."""


def named(names: Sequence[str], positions: Sequence[float]) -> dict[str, float]:
    """Positions by name. Raises SampleError "malformed" unless there is one for each name, and no name comes twice."""
    if len(names) != len(positions):
        raise SampleError("malformed", None, f"{len(names)} names with {len(positions)} positions")
    found = dict(zip(names, positions, strict=True))
    if len(found) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise SampleError("malformed", twice, "is there more than once")
    return found


class JointCheck:
    """Lets the joint states of the arm with ``encoders`` pass in the order of their stamps."""

    def __init__(self, encoders: EncoderBank) -> None:
        self._encoders = encoders
        self._motion = encoders.motion_check(JITTER)
        self._stamps = StampCheck(AHEAD)

    def reset(self) -> None:
        """Begin anew, for a clock that jumped back."""
        self._motion.reset()
        self._stamps.reset()

    def take(self, positions: Mapping[str, float], stamp: int, now: int) -> list[JointSample]:
        """The joint states that are good by the one of ``positions`` (rad, mm) at ``stamp``, received at ``now`` (ns).

        Often it is that one, at the start none or several. Joints that the arm does not have are left out. Raises
        SampleError with one of `FAULTS`.
        """
        joints = self._joints(positions)
        if self._stamps.later_than(now):  # nobody tells when the computer's own clock is set back
            self.reset()
        if stamp != 0 and stamp < now - BEHIND:
            raise SampleError("far_behind", None, f"the stamp is {(now - stamp) / SECOND:.3f} s old")
        refusal = self._stamps.judge(stamp, now)
        if refusal is not Refusal.NONE:
            reason = f"the stamp {stamp / SECOND:.3f} s is refused, {(stamp - now) / SECOND:+.3f} s from now"
            raise SampleError(refusal.value.lower(), None, reason)
        return self._motion.take(stamp / SECOND, JointSample(stamp, joints))

    def _joints(self, positions: Mapping[str, float]) -> dict[str, float]:
        joints = {}
        for name in self._encoders.chain.joint_names:
            if name not in positions:
                raise SampleError("missing", name, "is missing")
            joints[name] = positions[name]
            if not math.isfinite(joints[name]):
                raise SampleError("nan", name, f"is {joints[name]}")
        try:
            for name, value in joints.items():
                self._encoders.check_limits(name, value)
        except SampleError as error:
            raise SampleError(error.fault, error.joint, f"{error.reason}{self._hint(joints)}") from error
        return joints

    def _hint(self, joints: Mapping[str, float]) -> str:
        """What may be wrong with the units, if other ones would put all joints within their limits."""
        kinds = {name: self._encoders.chain.joints[name].kind for name in joints}
        for kind, scale, hint in (("revolute", math.radians(1.0), "degrees"), ("prismatic", 1e-3, "millimetres")):
            other = {name: value * (scale if kinds[name] == kind else 1.0) for name, value in joints.items()}
            try:
                for name, value in other.items():
                    self._encoders.check_limits(name, value)
            except SampleError:
                continue
            return f" (is it in {hint}? joint states are in rad and m)"
        return ""
