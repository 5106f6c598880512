"""The lines of the encoder board, against a CRC computed bit by bit, and against what can happen to a line."""

from itertools import combinations

import numpy as np
import pytest

from deeprs2v_ros.arm.line_protocol import CHECKSUMS, WRAP, LineError, LineFormat, Reading, ahead

BITS = (12, 12, 12, 12, 12, 12, 12, 16, 16)
EXAMPLE = b"0000002A,0001FBD0,200,B8E,03A,03A,000,000,AAB,0000,0000*9C0A"
READING = Reading(0x2A, 0x1FBD0, (0x200, 0xB8E, 0x3A, 0x3A, 0, 0, 0xAAB, 0, 0))


def crc_bit_by_bit(data):
    """CRC-16/IBM-3740: polynomial 0x1021, initial value 0xFFFF, most significant bit first."""
    register = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            carry = (register >> 15) ^ (byte >> bit & 1)
            register = (register << 1 & 0xFFFF) ^ (0x1021 if carry else 0)
    return register


def refusal(line_format, line):
    with pytest.raises(LineError) as caught:
        line_format.parse(line)
    return caught.value.fault


def test_the_documented_line():
    assert LineFormat(BITS, "crc16").compose(READING) == EXAMPLE
    assert LineFormat(BITS, "crc16").parse(EXAMPLE) == READING
    assert LineFormat(BITS, "crc16").length == len(EXAMPLE)


def test_checksums_against_their_definitions():
    assert CHECKSUMS["crc16"][1](b"123456789") == crc_bit_by_bit(b"123456789") == 0x29B1
    body = EXAMPLE.partition(b"*")[0]
    assert int(EXAMPLE[-4:], 16) == crc_bit_by_bit(body)
    line = LineFormat(BITS, "xor").compose(READING)
    assert line.partition(b"*")[0] == body
    assert int(line[-2:], 16) == np.bitwise_xor.reduce(np.frombuffer(body, np.uint8))
    assert LineFormat(BITS, "none").compose(READING) == body


@pytest.mark.parametrize("checksum", CHECKSUMS)
def test_every_reading_comes_back(checksum):
    rng = np.random.default_rng(0)
    bits = (1, 4, 5, 12, 17, 32)
    line_format = LineFormat(bits, checksum)
    for _ in range(300):
        counts = tuple(None if rng.random() < 0.1 else int(rng.integers(2**each)) for each in bits)
        reading = Reading(int(rng.integers(WRAP)), int(rng.integers(WRAP)), counts)
        line = line_format.compose(reading)
        assert len(line) == line_format.length
        assert line_format.parse(line) == reading


def test_digits_follow_the_bits():
    assert LineFormat((12, 13, 1), "none").compose(Reading(0, 0, (1, 1, None))) == b"00000000,00000000,001,0001,-"
    with pytest.raises(ValueError, match="do not fit"):
        LineFormat((12,), "crc16").compose(Reading(0, 0, (4096,)))


def test_no_change_of_one_or_two_bits_goes_unnoticed():
    line_format = LineFormat((12, 16), "crc16")
    line = line_format.compose(Reading(0x1234, 0xFEDCBA98, (0x1F3, 0xAAAA)))
    number, size = int.from_bytes(line, "big"), len(line)
    masks = [1 << bit for bit in range(8 * size)]
    for mask in (*masks, *(a | b for a, b in combinations(masks, 2))):
        assert refusal(line_format, (number ^ mask).to_bytes(size, "big")) == "checksum"


def test_no_lost_added_or_swapped_byte_goes_unnoticed():
    line_format = LineFormat(BITS, "crc16")
    for at in range(len(EXAMPLE)):
        for lost in (1, 2, 3):
            if at + lost <= len(EXAMPLE):
                assert refusal(line_format, EXAMPLE[:at] + EXAMPLE[at + lost :]) == "format"
        assert refusal(line_format, EXAMPLE[:at] + b"0" + EXAMPLE[at:]) == "format"
        swapped = EXAMPLE[:at] + EXAMPLE[at : at + 2][::-1] + EXAMPLE[at + 2 :]
        if swapped != EXAMPLE:
            assert refusal(line_format, swapped) == "checksum"


def test_what_a_weaker_checksum_misses():
    line_format = LineFormat(BITS, "xor")
    line = line_format.compose(READING)
    without_pair = line.replace(b"000,000", b"0,000")
    assert int(without_pair[-2:], 16) == np.bitwise_xor.reduce(np.frombuffer(without_pair[:-3], np.uint8))
    assert refusal(line_format, without_pair) == "format"
    assert refusal(line_format, line.replace(b"200", b"201")) == "checksum"
    assert line_format.parse(line.replace(b"200,B8E", b"002,B8E")).counts[0] == 2
    line_format = LineFormat(BITS, "none")
    assert line_format.parse(line_format.compose(READING).replace(b"200", b"201")).counts[0] == 0x201


@pytest.mark.parametrize("field", [b"2G0", b"2a0", b" 20", b"2_0", b"+20", b"-20", b"2--", b"2,0", b"\xb200"])
def test_fields_that_are_no_numbers_are_refused_even_if_the_checksum_is_right(field):
    body = EXAMPLE.partition(b"*")[0].replace(b"200", field)
    assert refusal(LineFormat(BITS, "crc16"), body + b"*%04X" % crc_bit_by_bit(body)) == "format"
    assert refusal(LineFormat(BITS, "none"), body) == "format"


@pytest.mark.parametrize("line", [b"", b"\r", b"hello", EXAMPLE + b"\r", EXAMPLE.lower(), 1000 * EXAMPLE])
def test_other_lines_are_refused(line):
    assert refusal(LineFormat(BITS, "crc16"), line) == ("checksum" if len(line) == len(EXAMPLE) else "format")


@pytest.mark.parametrize(
    ("later", "earlier", "difference"),
    [(5, 3, 2), (3, 5, -2), (1, WRAP - 1, 2), (WRAP - 1, 1, -2), (7, 7, 0), (WRAP // 2 - 1, 0, WRAP // 2 - 1)],
)
def test_numbers_wrap(later, earlier, difference):
    assert ahead(later, earlier) == difference
