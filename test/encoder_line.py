"""A board on a pseudo-terminal and its reader, in a time of the test's own."""

import time

import numpy as np

from deeprs2v_ros.arm.line_protocol import LineFormat
from deeprs2v_ros.arm.serial_encoders import SerialEncoders
from deeprs2v_ros.arm.serial_port import SerialPort
from deeprs2v_ros.simulation.encoder_board import EncoderBoard, PseudoPort

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
