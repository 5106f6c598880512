"""Where the arm holds the image plane over time: as TF was recorded, or by the kinematics of recorded joint states."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.arm.joint_check import BEHIND, JointCheck
from deeprs2v_ros.arm.refusals import SampleError
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.frames import IMAGE
from deeprs2v_ros.messages import joints_of, stamp_of, transforms_of
from deeprs2v_ros.replay.clock import BagClock, Seen
from deeprs2v_ros.replay.player import Player
from deeprs2v_ros.replay.transforms import TransformTree


class RecordedTransforms:
    """Feeds a ``tree`` with the recorded places of some ``frames``.

    The ``player`` is told when the clock jumps back, ``log``, in a line each, what is refused.
    """

    def __init__(
        self,
        tree: TransformTree,
        frames: Collection[str],
        clock: BagClock,
        player: Player,
        log: Callable[[str], None],
    ) -> None:
        self._tree, self._frames, self._clock, self._player, self._log = tree, frames, clock, player, log

    def on_transforms(self, message: Any) -> None:
        """A message on tf. A stamp that does not fit the clock is refused."""
        for parent, child, stamp, place in transforms_of(message):
            if child not in self._frames:
                continue
            seen = self._clock.see(stamp)
            if seen is Seen.ODD:
                self._log(f"transform of {child} ignored: its stamp does not fit the clock")
                continue
            if seen is Seen.JUMPED_BACK:
                self._player.start_over()
            self._tree.insert(parent, child, stamp, place)

    def on_fixed_transforms(self, message: Any) -> None:
        """A message on tf_static."""
        for parent, child, stamp, place in transforms_of(message):
            if child in self._frames:
                self._tree.insert(parent, child, stamp, place, fixed=True)


class Kinematics:
    """Feeds a ``tree`` with the links of an ``arm`` that holds the images, as the node arm_kinematics does.

    The ``player`` is told when the clock jumps back, and every ``pose_period`` ns how sure the arm is of the image's
    pose; ``log``, in a line each, what is refused.
    """

    def __init__(
        self,
        tree: TransformTree,
        arm: Arm,
        pose_period: int,
        clock: BagClock,
        player: Player,
        log: Callable[[str], None],
    ) -> None:
        """Raise InputError for an arm without us_image."""
        self._tree, self._chain, self._uncertain = tree, arm.chain, UncertainArm(arm, IMAGE)
        self._check = JointCheck(arm.encoders)
        self._clock, self._player, self._log = clock, player, log
        self._period, self._next = pose_period, 0
        self.links = arm.chain.links
        for parent, child, place in self._chain.fixed_transforms():
            tree.insert(parent, child, 0, place, fixed=True)

    def on_joints(self, message: Any) -> None:
        """A message on joint_states. What `JointCheck` refuses, or does not fit the clock, is refused."""
        stamp = stamp_of(message.header)
        seen = self._clock.see(stamp)
        if seen is Seen.ODD:
            self._log("joint state ignored: its stamp does not fit the clock")
            return
        if seen is Seen.JUMPED_BACK:
            self._player.start_over()
            self._check.reset()
            self._next = 0
        # What fits the clock may lie far behind it: a recorder that was busy receives late.
        now = min(self._clock.now, stamp + BEHIND)
        try:
            samples = self._check.take(joints_of(message, self._chain), stamp, now)
        except SampleError as error:
            self._log(f"joint state ignored: {error}")
            return
        for sample in samples:
            for parent, child, place in self._chain.moving_transforms(sample.values):
                self._tree.insert(parent, child, sample.stamp, place)
            if sample.stamp >= self._next:
                self._next = sample.stamp + self._period
                self._player.on_arm(self._uncertain.pose(sample.values).covariance)
