"""The lines of an encoder board: one sample each, in ASCII, every line of an arm equally long.

    0000002A,0001FBD0,200,B8E,03A,03A,000,000,AAB,0000,0000*9C0A

sequence, time, one count for each joint, ``*``, checksum, and a line feed, with or without a carriage return before it;
all numbers in hexadecimal digits 0-9, A-F.

- sequence: 8 digits, one more with every sample taken, whether or not its line can be sent; FFFFFFFF is followed by 0.
- time: 8 digits, microseconds on the board's own clock at the moment the counts were latched; wraps after 71.6 min.
- counts: as many digits as the bits of the joint's encoder need, 3 for 12 bits. ``-`` in all of them: no reading.
- checksum: of all that comes before ``*``.
  crc16: 4 digits, CRC-16/IBM-3740, also called CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, nothing reflected,
  no final XOR; 29B1 for "123456789".
  xor: 2 digits, all bytes combined by exclusive or.
  none: the line ends with its last count, without ``*``.

A lost or added byte changes the length, which xor alone would not always notice: a lost pair of equal digits leaves it
as it was. The CRC catches every change of up to three bits, or of any within 16 in a row, in what it covers, and all
but one in 65536 of the rest.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Literal

WRAP = 2**32
"""Where sequence and time start again at 0."""

EXCERPT = 24
"""Bytes of a line that are shown."""

CHECKSUMS: dict[str, tuple[int, Callable[[bytes], int]]] = {
    "crc16": (4, lambda data: binascii.crc_hqx(data, 0xFFFF)),
    "xor": (2, lambda data: reduce(xor, data)),
    "none": (0, lambda data: 0),
}
"""Number of digits, and the value."""


@dataclass(frozen=True)
class Reading:
    """One sample: ``sequence`` and ``time`` (us) modulo `WRAP`; a count for each joint, None where there is none."""

    sequence: int
    time: int
    counts: tuple[int | None, ...]


class LineError(ValueError):
    """A line that must not be used, because of its "checksum" or its "format"."""

    def __init__(self, fault: Literal["checksum", "format"], reason: str) -> None:
        """Keep the kind beside the message."""
        super().__init__(reason)
        self.fault = fault


class LineFormat:
    """The lines of one arm: ``bits`` of the encoders in the order of their counts, and one of `CHECKSUMS`."""

    def __init__(self, bits: Sequence[int], checksum: str) -> None:
        self._digits = [-(-each // 4) for each in bits]
        self._checksum_digits, self._sum = CHECKSUMS[checksum]
        counts = (rf"([0-9A-F]{{{digits}}}|-{{{digits}}})" for digits in self._digits)
        self._pattern = re.compile(",".join(["([0-9A-F]{8})", "([0-9A-F]{8})", *counts]).encode())
        self._body_length = 17 + sum(1 + digits for digits in self._digits)
        self.length = self._body_length + (1 + self._checksum_digits if self._checksum_digits else 0)
        """Bytes of a line, without the line feed."""

    def compose(self, reading: Reading) -> bytes:
        """The line of a reading, without the line feed. Raises ValueError for counts that do not fit."""
        fields = [f"{reading.sequence % WRAP:08X}", f"{reading.time % WRAP:08X}"]
        for digits, count in zip(self._digits, reading.counts, strict=True):
            fields.append("-" * digits if count is None else f"{count:0{digits}X}")
        body = ",".join(fields).encode()
        if not self._pattern.fullmatch(body):
            raise ValueError(f"counts {reading.counts} do not fit into {self._digits} digits")
        return body + self._ending(body)

    def parse(self, line: bytes) -> Reading:
        """The reading of a line without its end.

        Raises LineError "format" for a wrong length, or for fields that are none although the checksum is right, and
        "checksum" where that is wrong. The message says what is likely to be wrong with the board, and shows the line.
        """
        if len(line) != self.length:
            raise LineError("format", f"it is not {self.length} bytes long{self.hint(line)}: {excerpt(line)}")
        body = line[: self._body_length]
        if line[self._body_length :] != self._ending(body):
            raise LineError("checksum", f"it does not match its checksum{self.hint(line)}: {excerpt(line)}")
        match = self._pattern.fullmatch(body)
        if match is None:
            raise LineError("format", f"its fields are no numbers{self.hint(line)}: {excerpt(line)}")
        sequence, time, *counts = match.groups()
        return Reading(
            int(sequence, 16),
            int(time, 16),
            tuple(None if count[0] == ord("-") else int(count, 16) for count in counts),
        )

    def hint(self, line: bytes) -> str:
        """What such a line comes from, if that is one of the usual mistakes."""
        if sum(not 0x20 <= byte < 0x7F for byte in line) > len(line) // 4:
            return " and no text (is it the right baud rate?)"
        if re.search(rb"[a-f]", line):
            return " and has small letters (digits are 0-9, A-F)"
        if re.fullmatch(rb"[0-9,]+", line.partition(b"*")[0]) and line.count(b",") == len(self._digits) + 1:
            return " (are its numbers decimal, or without leading zeros?)"
        return ""

    def _ending(self, body: bytes) -> bytes:
        if not self._checksum_digits:
            return b""
        return b"*%0*X" % (self._checksum_digits, self._sum(body))


def excerpt(line: bytes) -> str:
    """How a line begins, in printable characters."""
    return repr(line[:EXCERPT])[1:] + ("..." if len(line) > EXCERPT else "")


def ahead(later: int, earlier: int) -> int:
    """By how much one number of sequence or time is ahead of another, at most half of `WRAP` either way."""
    return (later - earlier + WRAP // 2) % WRAP - WRAP // 2
