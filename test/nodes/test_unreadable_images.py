"""Image messages that are none: each gets its status, and harms no image after it."""

from array import array

from phantoms import SHAPE
from sensor_msgs.msg import Image

from deeprs2v_ros.frames import IMAGE
from deeprs2v_ros.msg import RegistrationStatus as Status
from deeprs2v_ros.nodes.topics.conversions import stamp_message

ROWS, COLUMNS = SHAPE
MALFORMED = {
    "cut short": {"size": ROWS * COLUMNS // 2},
    "too long": {"size": ROWS * COLUMNS + 7},
    "without data": {"size": 0},
    "rows shorter than the picture": {"step": COLUMNS - 8, "size": ROWS * (COLUMNS - 8)},
    "without a step": {"step": 0},
    "without rows": {"height": 0, "size": 0},
    "without columns": {"width": 0, "step": 0, "size": 0},
    "a step that overflows": {"step": 2**31, "height": 2},
    "four thousand million rows": {"height": 4_000_000_000},
    "four thousand million columns": {"width": 4_000_000_000},
    "sixteen bits, the other way round": {"encoding": "mono16", "is_bigendian": 1},
    "floats": {"encoding": "32FC1", "step": 4 * COLUMNS, "size": 4 * ROWS * COLUMNS},
    "without an encoding": {"encoding": ""},
    "an encoding that is none": {"encoding": "%s\n{}" * 50},
    "a file": {"encoding": "jpeg", "size": 99},
}


def malformed(stamp, *, size=ROWS * COLUMNS, **fields):
    given = {"height": ROWS, "width": COLUMNS, "encoding": "mono8", "step": COLUMNS} | fields
    message = Image(**given)
    message.data = array("B", bytes(size))
    message.header.frame_id, message.header.stamp = IMAGE, stamp_message(stamp)
    return message


def test_what_cannot_be_read_is_unreadable(bench):
    bench.until_tracking()
    for name, fault in MALFORMED.items():
        count, stamp = len(bench.statuses), bench.now()
        bench.send_pose(stamp)
        bench._image.publish(malformed(stamp, **fault))
        bench.until(lambda count=count: len(bench.statuses) > count)
        status = bench.statuses[count]
        assert (status.reason, status.accepted) == ("UNREADABLE", False), name
        assert status.state != Status.FAULT, name
    bench.until_tracking()
