"""A board that does everything wrong, and what is read from it."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from encoder_line import FORMAT, MILLISECOND, PERIOD, SECOND

from deeprs2v_ros.arm.line_protocol import WRAP
from deeprs2v_ros.arm.serial_encoders import FAULTS, LATEST
from deeprs2v_ros.simulation.encoder_board import BadLine, EncoderBoard


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_every_sample_of_a_good_line_is_given_at_its_time(make_line, drift):
    """In bursts of 16 ms, over a wrap of sequence and clock, 4 s; the last sample of a burst arrives at once."""
    line = make_line(board=EncoderBoard(FORMAT, sequence=WRAP - 1000, time=WRAP - 3_000_000, drift=drift))
    line.connect()
    line.run(2000)
    assert line.faults() == {}
    assert len(line.samples) == 2000
    assert [sample.first for sample in line.samples] == [True] + [False] * 1999
    assert np.abs(line.stamp_errors()).max() < 0.21 * MILLISECOND  # 1e-4 of the window, and the clock's microsecond
    intervals = np.diff([sample.time for sample in line.samples])
    assert intervals == pytest.approx(0.002 * (1.0 + drift), abs=2.1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_fault_of_a_bad_line_is_counted_and_no_wrong_sample_is_given(make_line, seed):
    line = make_line(damage=BadLine(0.2, seed))
    line.connect()
    line.run(4000)
    line.damage, caused = None, line.damage.caused
    line.run(8)  # so that what was lost at the end shows
    assert min(caused[kind] for kind in ("checksum", "format", "gap")) > 100
    faults = line.faults()
    withheld = faults.pop("stamp", 0)
    assert withheld < 8  # in the first burst, if its last line is damaged
    assert faults == caused
    assert len(line.samples) + withheld + caused["gap"] == line.board.taken
    assert np.abs(line.stamp_errors()).max() <= 1_000 + 7 * PERIOD  # before the first whole burst
    assert np.abs(line.stamp_errors()[500:]).max() <= PERIOD


def test_silence_is_a_stall_once_and_starts_anew(line):
    line.run(80)
    line.wait(2.0)
    assert line.faults() == {"stall": 1}
    assert "no sound line for 2.0 s" in line.reader.trouble
    line.run(8)
    assert line.reader.trouble == ""
    assert [number for number, sample in enumerate(line.samples) if sample.first] == [0, 80]
    line.run(160, lost=True)
    line.run(80)
    assert line.faults() == {"stall": 2, "gap": 160}
    assert len(line.samples) + 160 == line.board.taken


def test_noise_is_no_sound_line(line):
    """As with a wrong baud rate: bytes come all the time."""
    noise = np.random.default_rng(0)
    for _ in range(50):
        line.now += 20 * MILLISECOND
        line.deliver(noise.bytes(500))
    assert line.samples == []
    assert line.faults()["stall"] == 1
    assert line.faults()["format"] > 50


def test_reset_of_the_board_starts_over(line):
    line.run(800)
    line.board.reset(line.now)
    line.run(800)
    assert line.faults() == {"reset": 1}
    assert len(line.samples) == line.board.taken
    assert [number for number, sample in enumerate(line.samples) if sample.first] == [0, 800]
    assert np.abs(line.stamp_errors()).max() <= 1_000


def test_samples_that_come_too_late_are_withheld(line):
    line.run(800)
    backlog = b""
    for _ in range(500):  # one second in which nothing is delivered
        line.now += PERIOD
        number = line.board.taken
        backlog += line.board.line(line.now, (number, 4095 - number, number))
        line.sent[number, number] = line.now
    line.deliver(backlog)
    line.run(80)
    late = line.faults()["late"]
    assert late == 500 - LATEST // PERIOD - 1
    assert line.faults() == {"late": late}
    assert len(line.samples) + late == line.board.taken
    assert np.abs(line.stamp_errors()).max() <= 1_000


def test_better_estimate_of_the_clock_never_turns_time_back(make_line):
    """Twenty samples come 12 ms late each; then the line is fast, and what was still under way comes with the next."""
    line = make_line(burst=1)
    line.connect()
    under_way = []
    for number in range(40):
        line.now += PERIOD
        under_way.append(line.board.line(line.now, (number, 4095 - number, number)))
        line.sent[number, number] = line.now
        arrived = max(0, len(under_way) - (6 if number < 20 else 0))
        line.deliver(b"".join(under_way[:arrived]))
        del under_way[:arrived]
    assert line.faults() == {"stamp": 6}  # samples 14 to 19, which 0 to 13 were taken for
    assert len(line.samples) == 34
    assert line.stamp_errors() == pytest.approx([12 * MILLISECOND] * 14 + [0] * 20, abs=1_000)


def test_clock_of_the_host_that_is_set_back_starts_over(line):
    line.run(80)
    line.now -= 3600 * SECOND
    line.run(80)
    assert line.faults() == {}
    assert len(line.samples) == 160
    assert line.samples[80].first
    assert [sample.stamp - line.sent[sample.counts["a"], sample.counts["c"]] for sample in line.samples[80:]] == (
        pytest.approx([0] * 80, abs=1_000)
    )


def test_counts_that_could_not_be_read_are_nan(line):
    line.now += PERIOD
    line.deliver(line.board.line(line.now, (1, None, 2)))
    counts = line.samples[0].counts
    assert counts["a"] == 1
    assert math.isnan(counts["b"])


def test_all_kinds_are_shown_from_the_start(make_line):
    assert make_line().reader.faults == Counter(dict.fromkeys(FAULTS, 0))


MISTAKES = {
    "carriage return alone": (
        lambda line: line[:-1] + b"\r",
        r"nor the end of one \(do they end with CR alone\?\): '0",
    ),
    "decimal": (
        lambda line: b"12,34000,5,6,7\n",
        r"not 35 bytes long \(are its numbers decimal, .*\?\): '12,34000,5,6,7'",
    ),
    "small letters": (lambda line: line.replace(b"FFF", b"fff"), r"not match its checksum and has small letters"),
    "no checksum": (lambda line: line[:-6] + b"\n", r"not 35 bytes long: '0000"),
    "wrong checksum": (lambda line: line[:-5] + b"0000\n", r"does not match its checksum: '0000"),
    "one joint less": (lambda line: line[:17] + line[21:], r"not 35 bytes long: '0000"),
    "baud rate": (
        lambda line: bytes(255 - byte for byte in line[:-1]) + b"\n",
        r"no text \(is it the right baud rate\?\)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_trouble_says_what_is_wrong_with_the_lines(line, mistake):
    spoil, said = MISTAKES[mistake]
    for number in range(400):
        line.now += PERIOD
        line.deliver(spoil(line.board.line(line.now, (0xFFF, number, 0))))
    assert line.samples == []
    assert re.search(
        rf"ttyUSB0: no sound line for 0\.[78] s(, |; the last one was refused: it ).*{said}", line.reader.trouble
    )
    assert line.reader.trouble.isprintable()
    line.deliver(b"\n")
    line.run(80)
    assert line.reader.trouble == ""


def test_silence_after_a_refused_line_is_forgotten_with_the_next_sound_one(line):
    line.deliver(b"HELLO\n")
    line.wait(1.0)
    assert line.reader.trouble.endswith("the last one was refused: it is not 35 bytes long: 'HELLO'")
    line.run(8)
    line.wait(1.0)
    assert line.reader.trouble.endswith("s")


@pytest.mark.parametrize("together", [1, 2, 7, 36, 37])
def test_lines_that_end_with_carriage_return_and_line_feed_are_sound(line, together):
    """However they are cut when they are read."""
    for number in range(40):
        line.now += PERIOD
        data = line.board.line(line.now, (number, 0, 0)).replace(b"\n", b"\r\n")
        for at in range(0, len(data), together):
            line.deliver(data[at : at + together])
    assert [sample.counts["a"] for sample in line.samples] == list(range(40))
    assert line.faults() == {}
