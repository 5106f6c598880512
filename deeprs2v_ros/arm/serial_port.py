"""Lines from a serial port that may not be there yet, vanish, and come back."""

from __future__ import annotations

import termios
from contextlib import suppress

import serial

FIRST_WAIT, LONGEST_WAIT = 100_000_000, 1_600_000_000  # ns between attempts to open; doubled until something comes
MOST_BYTES = 65536  # of one read


class SerialPort:
    """The port ``name`` at ``baud``, 8N1, read without ever waiting and locked (flock) while it is open.

    Times are the caller's, in ns. Lines end with LF or CR LF. Of one no more than ``longest`` + 2 bytes are kept: with
    room for the CR, and to see that it is too long.
    """

    def __init__(self, name: str, baud: int, longest: int) -> None:
        self.name = name
        self.openings = 0
        """How often the port was opened."""
        self.trouble = f"{name} has not been opened yet"
        """Why it is not open; empty if it is."""
        self.rest = b""
        """What is kept of what has come since the last line feed."""
        self._baud, self._longest = baud, longest
        self._port: serial.Serial | None = None
        self._tried: int | None = None
        self._wait = FIRST_WAIT
        self._begun = False  # what comes begins with a line's beginning

    def lines(self, now: int) -> list[bytes]:
        """The lines that ended since the last call, without their ends; longer ones than ``longest`` are cut.

        What comes after opening the port and before the first line feed is dropped: it may be half a line.
        """
        if self._port is None and not self._open(now):
            return []
        assert self._port is not None
        try:
            data = self._port.read(MOST_BYTES)
        except (OSError, termios.error) as error:
            self._fail(f"was lost ({error})")
            return []
        if not data:
            return []
        self._wait = FIRST_WAIT
        *lines, rest = (self.rest + data).split(b"\n")
        self.rest = rest[: self._longest + 2]
        if lines and not self._begun:
            self._begun = True
            del lines[0]
        return [line[: self._longest + 2].removesuffix(b"\r") for line in lines]

    def close(self) -> None:
        """Give the port back."""
        if self._port is not None:
            with suppress(OSError):  # it may be gone
                self._port.close()
            self._port = None

    def _open(self, now: int) -> bool:
        if self._tried is not None and 0 <= now - self._tried < self._wait:
            return False
        if self._tried is not None:
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._tried = now
        try:
            self._port = serial.Serial(self.name, self._baud, timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            self._fail(f"cannot be opened ({error})")
            return False
        self.openings += 1
        self.trouble, self.rest, self._begun = "", b"", False
        return True

    def _fail(self, trouble: str) -> None:
        self.close()
        self.trouble = f"{self.name} {trouble}"
