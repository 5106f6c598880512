"""An encoder board on a bad line: what it writes, what becomes of it on the way, and the port it comes from.

The lines are those of `arm.line_protocol`. Same seed, same faults.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import tty
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deeprs2v_ros.arm.line_protocol import WRAP, LineFormat, Reading

BETWEEN_FAULTS = 4
"""Sound lines at least between two damaged ones, so that each is counted as what it is."""
MOST_NOISE = 8192


class EncoderBoard:
    """Takes samples. Its clock runs ``drift`` (1) fast, and ``sequence`` and ``time`` (us) are what it starts with."""

    def __init__(self, line_format: LineFormat, sequence: int = 0, time: int = 0, drift: float = 0.0) -> None:
        self.taken = 0
        """Samples since the start."""
        self._format, self._drift = line_format, drift
        self._sequence, self._time, self._origin = sequence, time, 0

    def start(self, now: int) -> None:
        """The host's time (ns) at which the board's clock shows what it starts with."""
        self._origin = now

    def reset(self, now: int) -> None:
        """Start again with sequence and time at 0."""
        self._sequence, self._time, self._origin = 0, 0, now

    def line(self, now: int, counts: Sequence[int | None]) -> bytes:
        """The line of a sample taken at the host's time ``now`` (ns), with its line feed."""
        time = self._time + round((now - self._origin) * (1.0 + self._drift)) // 1000
        line = self._format.compose(Reading(self._sequence % WRAP, time % WRAP, tuple(counts)))
        self._sequence += 1
        self.taken += 1
        return line + b"\n"


class BadLine:
    """Damages lines with the probability ``rate``; ``caused`` counts by kind what a reader has to find."""

    KINDS = ("bits", "swap", "byte", "pair", "added", "end", "noise", "line")

    def __init__(self, rate: float, seed: int) -> None:
        self.caused: Counter[str] = Counter()
        self._rate = rate
        self._rng = np.random.default_rng(seed)
        self._sound = 0

    def carry(self, line: bytes) -> bytes:
        """What arrives of a line."""
        self._sound += 1
        if self._sound <= BETWEEN_FAULTS or self._rng.random() >= self._rate:
            return line
        self._sound = 0
        kind = self.KINDS[self._rng.integers(len(self.KINDS))]
        if kind == "line":
            self.caused["gap"] += 1
            return b""
        if kind == "end":  # the next line hangs on this one
            self.caused.update(format=1, gap=2)
            return line[:-1]
        if kind == "noise":
            self.caused["format"] += 1
            ends = bool(self._rng.integers(2))
            self.caused["gap"] += not ends
            return self._noise(self._rng.integers(1, MOST_NOISE)) + (b"\n" if ends else b"") + line
        damaged = getattr(self, f"_{kind}")(line[:-1])
        self.caused.update({"gap": 1, "checksum" if len(damaged) == len(line) - 1 else "format": 1})
        return damaged + b"\n"

    def _noise(self, length: int) -> bytes:
        return self._rng.bytes(length).replace(b"\n", b"\r")

    def _bits(self, body: bytes) -> bytes:
        """One to three bits are turned over."""
        while True:
            bits = np.unpackbits(np.frombuffer(body, np.uint8))
            bits[self._rng.choice(len(bits), self._rng.integers(1, 4), replace=False)] ^= 1
            damaged = np.packbits(bits).tobytes()
            if b"\n" not in damaged:
                return damaged

    def _swap(self, body: bytes) -> bytes:
        """Two neighbours change places."""
        at = self._rng.choice([k for k in range(len(body) - 1) if body[k] != body[k + 1]])
        return body[:at] + body[at : at + 2][::-1] + body[at + 2 :]

    def _byte(self, body: bytes) -> bytes:
        at = self._rng.integers(len(body))
        return body[:at] + body[at + 1 :]

    def _pair(self, body: bytes) -> bytes:
        """A pair of equal neighbours is lost, which an exclusive or does not notice."""
        at = self._rng.choice([k for k in range(len(body) - 1) if body[k] == body[k + 1]])
        return body[:at] + body[at + 2 :]

    def _added(self, body: bytes) -> bytes:
        at = self._rng.integers(len(body))
        return body[:at] + self._noise(self._rng.integers(1, 9)) + body[at:]


class PseudoPort:
    """A pseudo-terminal behind the symbolic link ``path``, which stands for /dev/ttyUSB0; not plugged in at first."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._board = self.terminal = -1

    def plug(self) -> None:
        """The port is there."""
        self._board, self.terminal = pty.openpty()
        tty.setraw(self.terminal)
        self.path.symlink_to(os.ttyname(self.terminal))

    def pull(self) -> None:
        """The port is gone, and with it what nobody has read yet."""
        self.path.unlink()
        os.close(self._board)
        os.close(self.terminal)

    def write(self, data: bytes) -> None:
        """Write all of it; blocks while the terminal's buffer is full."""
        while data:
            data = data[os.write(self._board, data) :]

    def unread(self) -> int:
        """Bytes that have arrived at the terminal and that nobody has read yet."""
        return struct.unpack("i", fcntl.ioctl(self.terminal, termios.FIONREAD, b"\0" * 4))[0]
