"""Encoder counts from a board on a serial line: what is sound, when it was taken, and what was wrong, by kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deeprs2v_ros.arm.device_clock import DeviceClock
from deeprs2v_ros.arm.line_protocol import LineError, LineFormat, Reading, ahead, excerpt
from deeprs2v_ros.arm.serial_port import SerialPort
from deeprs2v_ros.arm.sources import Clock, EncoderSource, Sample

SECOND, MICROSECOND = 1_000_000_000, 1_000
LATEST = SECOND // 4
"""A sample that took longer (ns) is too old to be of use, or the board's clock stood still meanwhile."""
FAULTS = ("checksum", "format", "gap", "late", "stamp", "stall", "reconnect", "reset")
"""Lines refused for the first two; samples lost, withheld as too old, and withheld since a better estimate of the clock
put them before one already given; how often a silence began, the port came back, and the board counted anew."""


class SerialEncoders(EncoderSource):
    """The board at ``port``, whose lines of ``line_format`` carry the counts of ``joints``.

    After ``stall_after`` s without a sound line it counts as stalled. A sample is a first one after that, after the
    port was opened, and after the board was reset: when its sequence or clock jump back, all estimates start over.
    """

    # In s. Shares no divisor with the usual intervals of samples, so that again and again one is met just as it comes:
    # only then is the clock's offset exact.
    period = 0.0037

    def __init__(self, port: SerialPort, line_format: LineFormat, joints: Sequence[str], stall_after: float) -> None:
        super().__init__()
        self.faults.update(dict.fromkeys(FAULTS, 0))
        self.trouble = port.trouble
        self._port, self._format, self._joints = port, line_format, tuple(joints)
        self._stall_after = round(stall_after * SECOND)
        self._openings, self._now = 0, 0
        self.restart()

    def restart(self) -> None:
        """Forget all that was known of the time."""
        self._last: Reading | None = None
        self._last_stamp = 0
        self._first, self._stalled = True, False
        self._quiet_since: int | None = None
        self._refused = ""  # why the last line was, if no sound one has come since

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def due(self, clock: Clock) -> list[Sample]:
        """The samples that came since the last call; the stamps of all that came together profit from the latest."""
        lines = self._port.lines(clock())
        now = clock()  # not before they are here: too early an arrival would spoil the estimate of the board's clock
        if now < self._now:
            self.restart()
        self._now = now
        if self._port.openings > self._openings:
            self.faults["reconnect"] += self._openings > 0
            self._openings = self._port.openings
            self._first, self._stalled, self._quiet_since = True, False, now
        samples: list[Sample] = []
        run: list[tuple[int, Reading]] = []  # with their times, unwrapped, in ns
        for line in lines:
            try:
                reading = self._format.parse(line)
            except LineError as error:
                self.faults[error.fault] += 1
                self._refused = str(error)
                continue
            if self._last is not None and self._goes_on(reading, self._last):
                self._time += MICROSECOND * ahead(reading.time, self._last.time)
            else:
                samples += self._stamped(run, now)
                run = []
                self._first, self._clock, self._time = True, DeviceClock(), MICROSECOND * reading.time
            self._clock.observe(self._time, now)
            run.append((self._time, reading))
            self._last, self._stalled, self._quiet_since, self._refused = reading, False, now, ""
        self._watch(now)
        return samples + self._stamped(run, now)

    def _goes_on(self, reading: Reading, last: Reading) -> bool:
        """Whether the board has gone on since the ``last`` reading; counts what was lost between, or the reset."""
        lost = ahead(reading.sequence, last.sequence) - 1
        if lost < 0 or ahead(reading.time, last.time) <= 0:
            self.faults["reset"] += 1
            return False
        self.faults["gap"] += lost
        return True

    def _watch(self, now: int) -> None:
        """Notice a silence, and say what the trouble is."""
        self.trouble = self._port.trouble
        if self.trouble:
            return
        if self._quiet_since is None:
            self._quiet_since = now
        quiet = now - self._quiet_since
        if quiet > self._stall_after:
            self.faults["stall"] += not self._stalled
            self._first = self._stalled = True
            self.trouble = f"{self._port.name}: no sound line for {quiet / SECOND:.1f} s{self._what_came()}"

    def _what_came(self) -> str:
        """What comes in place of sound lines."""
        rest = self._port.rest
        if len(rest) > self._format.length + 1:
            hint = self._format.hint(rest) or (" (do they end with CR alone?)" if b"\r" in rest else "")
            return f", nor the end of one{hint}: {excerpt(rest)}"
        return f"; the last one was refused: {self._refused}" if self._refused else ""

    def _stamped(self, run: list[tuple[int, Reading]], now: int) -> list[Sample]:
        samples = []
        for time, reading in run:
            stamp = self._clock.stamp(time)
            if now - stamp > LATEST:
                self.faults["late"] += 1
            elif stamp <= self._last_stamp:
                self.faults["stamp"] += 1
            else:
                counts = (math.nan if count is None else float(count) for count in reading.counts)
                by_joint = dict(zip(self._joints, counts, strict=True))
                samples.append(Sample(by_joint, stamp, time / SECOND, self._first))
                self._last_stamp, self._first = stamp, False
        return samples
