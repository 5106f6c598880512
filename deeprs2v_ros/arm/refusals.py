"""Why samples of the arm are refused, and what becomes of a source whose samples are refused one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from deeprs2v_ros.errors import InputError


class SampleError(InputError):
    """A sample that must not be used.

    ``fault`` is one word by which it is counted, ``reason`` says more, ``joint`` names the joint, if it is one's fault.
    """

    def __init__(self, fault: str, joint: str | None, reason: str) -> None:
        """Compose the message of joint and reason."""
        super().__init__(reason if joint is None else f"{joint}: {reason}")
        self.fault = fault
        self.joint = joint
        self.reason = reason


class Tally:
    """What became of the samples of one source.

    ``published`` is the number of those used, ``rejected`` that of the others by fault. ``fault`` says what is wrong
    once ``fault_after`` samples in a row were refused, and is empty otherwise.
    """

    def __init__(self, faults: Iterable[str], fault_after: int) -> None:
        self.published = 0
        self.rejected = Counter(dict.fromkeys(faults, 0))
        self.fault = ""
        self._fault_after = fault_after
        self._in_a_row = 0

    def accept(self, samples: int) -> None:
        """So many samples were used; none while they are withheld."""
        self.published += samples
        if samples:
            self._in_a_row = 0

    def refuse(self, error: SampleError) -> None:
        """A sample was refused; perhaps it was one too many."""
        self.rejected[error.fault] += 1
        self._in_a_row += 1
        if self._in_a_row >= self._fault_after:
            self.fault = f"FAULT: {self._in_a_row} samples rejected in a row, the last one: {error}"

    def clear(self) -> None:
        """The fault is over; the numbers stay."""
        self.fault = ""
        self._in_a_row = 0
