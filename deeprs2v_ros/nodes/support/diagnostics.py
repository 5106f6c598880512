"""What the encoders' node says of itself on /diagnostics."""

from __future__ import annotations

from collections import Counter

from builtin_interfaces.msg import Time as Stamp
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


class EncoderReport:
    """A status with the number of samples published and all faults by kind, since the start.

    ERROR for a latched fault, WARN while there is trouble and when a fault was counted since the last report, else OK.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reported = 0

    def message(
        self, stamp: Stamp, published: int, faults: Counter[str], trouble: str, latched: str
    ) -> DiagnosticArray:
        """The message; ``trouble`` and ``latched`` say what is wrong, and are empty otherwise."""
        new = faults.total() - self._reported
        self._reported = faults.total()
        if latched:
            level, text = DiagnosticStatus.ERROR, latched
        elif trouble or new:
            level, text = DiagnosticStatus.WARN, trouble or f"{new} new faults"
        else:
            level, text = DiagnosticStatus.OK, "all samples published"
        values = [KeyValue(key=key, value=str(count)) for key, count in {"published": published, **faults}.items()]
        status = DiagnosticStatus(level=level, name=self._name, message=text, values=values)
        message = DiagnosticArray(status=[status])
        message.header.stamp = stamp
        return message
