"""Ports that are not there, vanish, come back, and never end a line."""

import termios
import tracemalloc

import numpy as np
import pytest
from encoder_line import FORMAT, SECOND

from deeprs2v_ros.arm.serial_port import LONGEST_WAIT, SerialPort


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


def test_port_that_is_not_there_at_the_start_is_found(make_line):
    line = make_line()
    line.wait(5.0)
    assert "ttyUSB0 cannot be opened" in line.reader.trouble
    line.connect()
    line.run(8)
    assert len(line.samples) == 8
    assert line.faults() == {}


def test_attempts_to_open_grow_rare(make_line, monkeypatch):
    line = make_line()
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


def test_port_that_has_worked_is_soon_found_again(make_line):
    line = make_line()
    line.wait(10.0)
    line.connect()
    line.run(8)
    line.port.pull()
    line.wait(0.2)
    assert "cannot be opened" in line.reader.trouble
    line.port.plug()
    line.wait(0.3)
    assert line.reader.trouble == ""
    assert line.faults() == {"reconnect": 1}


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


def test_half_a_line_after_opening_is_no_fault(make_line):
    line = make_line()
    line.port.plug()
    line.wait(0.1)
    line.deliver(b"1,0000,0000*29B1\n")
    line.run(8)
    assert line.faults() == {}
    assert len(line.samples) == 8


@pytest.mark.parametrize(("baud", "code"), [(115200, termios.B115200), (921600, termios.B921600)])
def test_baud_rate_is_set(make_line, baud, code):
    line = make_line(baud=baud)
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
