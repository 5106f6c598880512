"""Encoder counts to joint values and back, and the refusal of samples that cannot be true.

One encoder: ``a = wrap(sign * span * count / 2^bits + zero)``, ``q = table(a)``, and for a coupled joint
``q = coupling(table(a), q_other)``. The zero is inside the table's argument: a table belongs to the encoder's disc, and
the zero may slip on the shaft. The scanner's motors are read the same way, by the counts of their step counters.

Angles in rad, lengths in mm. A sample that is not plausible raises; nothing is ever clamped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.arm.curves import Coupling, OutsideCurveError, Table
from deeprs2v_ros.arm.motion_check import JointSample, MotionCheck
from deeprs2v_ros.arm.refusals import SampleError
from deeprs2v_ros.arm.sources import Sample
from deeprs2v_ros.errors import InputError

FAULTS = ("unknown", "missing", "nan", "count", "limits", "speed", "reference", "stamp")
"""Why a sample is refused: a joint that the arm has not or the sample lacks, no reading, a count that the encoder or
its table has not, a joint outside its limits, one too fast or on a wrong track from the start (`motion_check`), a stamp
that does not advance."""


@dataclass(frozen=True)
class Encoder:
    """One encoder of ``2**bits`` counts over the interval ``wrap`` = (low, high], in rad or mm.

    ``sign`` is +1 or -1, ``zero`` the value at count 0. For an encoder ``wrap`` is one turn, for a motor its counter's.
    ``noise`` is the standard deviation of its readings; None: only that of rounding to whole counts.
    """

    bits: int
    sign: int
    zero: float
    wrap: tuple[float, float]
    table: Table | None = None
    coupling: Coupling | None = None
    noise: float | None = None

    @property
    def deviation(self) -> float:
        """Standard deviation of a reading, in rad or mm."""
        return self.resolution / math.sqrt(12.0) if self.noise is None else self.noise

    @property
    def resolution(self) -> float:
        """One count, in rad or mm, before table and coupling."""
        return (self.wrap[1] - self.wrap[0]) / 2**self.bits

    def value(self, count: float) -> float:
        """The value at ``count``, before the coupling. Raises ValueError for a count it cannot have, or no table."""
        if not math.isfinite(count):
            raise ValueError(f"the count is {count}")
        if count != int(count) or not 0 <= count < 2**self.bits:
            raise ValueError(f"the count {count:g} is not one of 0 to {2**self.bits - 1}")
        low, high = self.wrap
        value = high - (high - self.sign * self.resolution * count - self.zero) % (high - low)
        return value if self.table is None else self.table.joint_from(value)

    def count(self, value: float) -> int:
        """The count nearest to ``value``, a value before the coupling. Raises OutsideCurveError beyond the table."""
        if self.table is not None:
            value = self.table.encoder_from(value)
        return round(self.sign * (value - self.zero) / self.resolution) % 2**self.bits


class EncoderBank:
    """The encoders of all joints of an arm, checked against its URDF.

    encoders: one encoder for each of the chain's ``joint_names``.
    """

    def __init__(self, encoders: Mapping[str, Encoder], chain: Chain) -> None:
        """Raise InputError when the encoders' joints are not the chain's, or a coupling's joint is itself coupled."""
        without = [name for name in chain.joint_names if name not in encoders]
        unknown = [name for name in encoders if name not in chain.joint_names]
        if without or unknown:
            faults = [f"no encoder for the joint {name}" for name in without]
            faults += [f"an encoder for {name}, which is no moving joint" for name in unknown]
            raise InputError(f"encoders do not fit {chain.source}: {', '.join(faults)}")
        for name, encoder in encoders.items():
            joint = chain.joints[name]
            low, high = encoder.wrap
            if encoder.coupling is not None:
                other = encoders.get(encoder.coupling.joint)
                if other is None or other.coupling is not None:
                    raise InputError(f"encoder {name}: {encoder.coupling.joint} is no joint to be coupled to")
            elif encoder.table is None and not low <= joint.lower <= joint.upper <= high:
                raise InputError(f"encoder {name} wraps inside the limits that {chain.source} gives the joint")
        self.chain = chain
        self.encoders = dict(sorted(encoders.items(), key=lambda item: item[1].coupling is not None))

    def joints(self, counts: Mapping[str, float]) -> dict[str, float]:
        """Joint values (rad, mm) of one sample of ``counts`` by joint name.

        Raises SampleError for a joint that is missing or unknown, a count that is NaN, no whole number or out of its
        range, and a joint outside its limits by more than one count.
        """
        for name in counts:
            if name not in self.encoders:
                raise SampleError("unknown", name, "is no joint of this arm")
        joints: dict[str, float] = {}
        for name, encoder in self.encoders.items():
            count = counts.get(name)
            if count is None:
                raise SampleError("missing", name, "is missing from the sample")
            try:
                value = encoder.value(count)
            except ValueError as error:
                raise SampleError("count" if math.isfinite(count) else "nan", name, str(error)) from error
            if encoder.coupling is not None:
                value = encoder.coupling.joint_from(value, joints[encoder.coupling.joint])
            self.check_limits(name, value)
            joints[name] = value
        return joints

    def counts(self, joints: Mapping[str, float]) -> dict[str, int]:
        """The counts that the encoders show at ``joints`` (rad, mm): the inverse of `joints`, for the simulator.

        Raises SampleError for a joint that is missing, not finite, outside its limits or beyond its table or coupling.
        """
        counts: dict[str, int] = {}
        for name, encoder in self.encoders.items():
            value = joints.get(name)
            if value is None:
                raise SampleError("missing", name, "is missing")
            self.check_limits(name, value)
            try:
                if encoder.coupling is not None:
                    value = encoder.coupling.encoder_from(value, joints[encoder.coupling.joint])
                counts[name] = encoder.count(value)
            except OutsideCurveError as error:
                raise SampleError("limits", name, f"{joints[name]:.4f} {error}") from error
        return counts

    def check_limits(self, name: str, value: float) -> None:
        """Raise SampleError for a joint's ``value`` (rad, mm) outside its limits by more than one count, or NaN."""
        joint, slack = self.chain.joints[name], self.encoders[name].resolution
        if not joint.lower - slack <= value <= joint.upper + slack:
            unit, scale = ("mm", 1.0) if joint.kind == "prismatic" else ("deg", math.degrees(1.0))
            limits = f"{scale * joint.lower:.1f} to {scale * joint.upper:.1f} {unit}"
            raise SampleError("limits", name, f"{scale * value:.1f} {unit} is outside the limits of {limits}")

    def motion_check(self, jitter: float) -> MotionCheck:
        """A check of these joints, which allows them two counts more than their velocity limits."""
        return MotionCheck(
            {name: self.chain.joints[name].velocity for name in self.encoders},
            {name: 2.0 * encoder.resolution for name, encoder in self.encoders.items()},
            jitter,
        )


class EncoderStream:
    """Samples in the order of time: what `EncoderBank.joints` refuses, and what the joints cannot have done."""

    def __init__(self, bank: EncoderBank) -> None:
        self._bank = bank
        self._motion = bank.motion_check(jitter=0.0)

    def reset(self) -> None:
        """Forget all samples, for a clock that jumped back."""
        self._motion.reset()

    def take(self, sample: Sample) -> list[JointSample]:
        """The joints that are good by this ``sample``: often those of it alone, at the start none or several.

        Raises SampleError as `EncoderBank.joints` and `MotionCheck.take`, and for a time that is not finite.
        """
        if sample.first:
            self.reset()
        joints = self._bank.joints(sample.counts)
        if not math.isfinite(sample.time):
            raise SampleError("stamp", None, f"the stamp is {sample.time}")
        return self._motion.take(sample.time, JointSample(sample.stamp, joints))
