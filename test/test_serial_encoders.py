"""A board on a pseudo-terminal that does everything wrong, and what is read from it. Time is the test's own."""

import math
import termios
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from deeprs2v_ros.arm.line_protocol import WRAP, LineFormat
from deeprs2v_ros.arm.serial_encoders import FAULTS, LATEST, SerialEncoders
from deeprs2v_ros.arm.serial_port import LONGEST_WAIT, SerialPort
from deeprs2v_ros.simulation.encoder_board import BadLine, EncoderBoard, PseudoPort

SECOND, MILLISECOND = 1_000_000_000, 1_000_000
START = 1_700_000_000 * SECOND
PERIOD = 2 * MILLISECOND  # between samples
STALL_AFTER = 0.3
JOINTS = ("a", "b", "c")
FORMAT = LineFormat((12, 12, 16), "crc16")


class Line:
    """A board, its port, its reader, and what became of every sample. ``burst`` samples are delivered together."""

    def __init__(self, path, board=None, burst=8, damage=None, baud=921600):
        self.now = START
        self.port = PseudoPort(path)
        self.board = board or EncoderBoard(FORMAT)
        self.board.start(START)
        self.reader = SerialEncoders(SerialPort(str(path), baud, FORMAT.length), FORMAT, JOINTS, STALL_AFTER)
        self.burst, self.damage = burst, damage
        self.sent, self.samples = {}, []

    def poll(self):
        new = self.reader.due(lambda: self.now)
        self.samples += new
        return new

    def connect(self):
        """Plug it in and let the reader find it; the line feed ends what may have been half a line."""
        self.port.plug()
        openings = self.reader.faults["reconnect"]
        for _ in range(30):
            self.wait(0.1)
            if not self.reader.trouble:
                break
        assert not self.reader.trouble
        assert self.reader.faults["reconnect"] - openings in (0, 1)
        self.deliver(b"\n")

    def wait(self, seconds, step=0.1):
        """Nothing comes."""
        for _ in range(round(seconds / step)):
            self.now += round(step * SECOND)
            self.poll()

    def deliver(self, data):
        """Read, in pieces that the terminal holds, exactly when they have arrived."""
        for at in range(0, len(data), 2000):
            piece = data[at : at + 2000]
            self.port.write(piece)
            deadline = time.monotonic() + 10.0
            while self.port.unread() < len(piece):
                assert time.monotonic() < deadline
            self.poll()

    def run(self, count, lost=False):
        """As many samples; their counts are their numbers, so that none can be taken for another."""
        for _ in range(count // self.burst):
            data = b""
            for _ in range(self.burst):
                self.now += PERIOD
                number = self.board.taken
                line = self.board.line(self.now, (number % 4096, 4095 - number % 4096, number % 65536))
                self.sent[number % 4096, number % 65536] = self.now
                data += line if self.damage is None else self.damage.carry(line)
            if lost:
                self.poll()
            else:
                self.deliver(data)

    def stamp_errors(self):
        """Of all samples given, in ns, after their counts were found to be those sent."""
        errors = []
        for sample in self.samples:
            a, b, c = (sample.counts[name] for name in JOINTS)
            assert b == 4095 - a
            errors.append(sample.stamp - self.sent[a, c])
        assert (np.diff([sample.stamp for sample in self.samples]) > 0).all()
        return np.array(errors)

    def faults(self):
        return +self.reader.faults


@pytest.fixture
def make(tmp_path):
    lines = []

    def make(**options):
        lines.append(Line(tmp_path / "ttyUSB0", **options))
        return lines[-1]

    yield make
    for line in lines:
        line.reader.close()


@pytest.fixture
def line(make):
    line = make()
    line.connect()
    return line


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_every_sample_of_a_good_line_is_given_at_its_time(make, drift):
    """In bursts of 16 ms, over a wrap of sequence and clock, 4 s; the last sample of a burst arrives at once."""
    line = make(board=EncoderBoard(FORMAT, sequence=WRAP - 1000, time=WRAP - 3_000_000, drift=drift))
    line.connect()
    line.run(2000)
    assert line.faults() == {}
    assert len(line.samples) == 2000
    assert [sample.first for sample in line.samples] == [True] + [False] * 1999
    assert np.abs(line.stamp_errors()).max() < 0.21 * MILLISECOND  # 1e-4 of the window, and the clock's microsecond
    intervals = np.diff([sample.time for sample in line.samples])
    assert intervals == pytest.approx(0.002 * (1.0 + drift), abs=2.1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_fault_of_a_bad_line_is_counted_and_no_wrong_sample_is_given(make, seed):
    line = make(damage=BadLine(0.2, seed))
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


def test_endless_lines_do_not_fill_the_memory(line):
    line.run(8)
    tracemalloc.start()
    for _ in range(500):
        line.deliver(bytes(2_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
    line.deliver(b"\n")
    line.run(8)
    assert line.faults() == {"format": 1}
    assert len(line.samples) == 16


def test_port_that_is_not_there_at_the_start_is_found(make):
    line = make()
    line.wait(5.0)
    assert "ttyUSB0 cannot be opened" in line.reader.trouble
    line.connect()
    line.run(8)
    assert len(line.samples) == 8
    assert line.faults() == {}


def test_attempts_to_open_grow_rare(make, monkeypatch):
    line = make()
    attempts = []
    monkeypatch.setattr("serial.Serial", lambda *_, **__: attempts.append(line.now) or exec("raise OSError('gone')"))
    line.wait(10.0, step=0.01)
    pauses = np.diff(attempts)
    assert (np.diff(pauses) >= 0).all()
    assert pauses[0] < 0.3 * SECOND
    assert pauses[-1] == pytest.approx(LONGEST_WAIT, abs=0.02 * SECOND)
    line.now -= 3600 * SECOND  # a clock that is set back does not stop them
    count = len(attempts)
    line.wait(0.1, step=0.01)
    assert len(attempts) > count


def test_pulled_cable_is_survived(line):
    line.run(80)
    line.deliver(line.board.line(line.now, (0, 0, 0))[:9])  # in the middle of a line
    line.port.pull()
    line.wait(2.0)
    assert "ttyUSB0" in line.reader.trouble
    line.connect()
    line.run(80)
    assert line.faults() == {"reconnect": 1, "gap": 1}
    assert [number for number, sample in enumerate(line.samples) if sample.first] == [0, 80]
    assert len(line.samples) + 1 == line.board.taken
    assert np.abs(line.stamp_errors()).max() <= 1_000


def test_half_a_line_after_opening_is_no_fault(make):
    line = make()
    line.port.plug()
    line.wait(0.1)
    line.deliver(b"1,0000,0000*29B1\n")
    line.run(8)
    assert line.faults() == {}
    assert len(line.samples) == 8


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


def test_better_estimate_of_the_clock_never_turns_time_back(make):
    """Twenty samples come 12 ms late each; then the line is fast, and what was still under way comes with the next."""
    line = make(burst=1)
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


@pytest.mark.parametrize(("baud", "code"), [(115200, termios.B115200), (921600, termios.B921600)])
def test_baud_rate_is_set(make, baud, code):
    line = make(baud=baud)
    line.connect()
    assert termios.tcgetattr(line.port.terminal)[4:6] == [code, code]


def test_port_in_use_is_said(line):
    other = SerialPort(str(line.port.path), 921600, FORMAT.length)
    assert other.lines(0) == []
    assert "cannot be opened" in other.trouble
    line.reader.close()
    assert other.lines(LONGEST_WAIT) == []
    assert other.trouble == ""
    other.close()


def test_all_kinds_are_shown_from_the_start(make):
    assert make().reader.faults == Counter(dict.fromkeys(FAULTS, 0))
