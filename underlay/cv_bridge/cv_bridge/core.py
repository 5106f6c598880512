"""The bridge."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cv_bridge.conversion import convert
from cv_bridge.encodings import CvBridgeError, encoding, name_of


class CvBridge:
    """Converts between ROS image messages and arrays of shape (rows, columns) or (rows, columns, channels)."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray | None:
        """Convert a message to an array.

        :param img_msg: The message. Rows may be padded, by whole pixels.
        :param desired_encoding: An encoding's name, or "passthrough" for that of the message.
        :return: The array; None for an image without pixels that is converted.
        :raises CvBridgeError: when the encoding is not known, or the conversion makes no sense.
        :raises TypeError: when the data are too short.
        :raises ValueError: when no array can be as large.
        :raises AttributeError: for any big-endian message.

        Of other faults nothing is said, as by the official one: data that go on are left out, and a step that is too
        short for the width gives an image of fewer columns.
        """
        source = encoding(img_msg.encoding)
        columns = int(img_msg.step / source.dtype.itemsize / source.channels)
        shape = (img_msg.height, columns) if source.channels == 1 else (img_msg.height, columns, source.channels)
        image = np.ascontiguousarray(np.ndarray(shape, source.dtype, img_msg.data)[:, : img_msg.width])
        if img_msg.is_bigendian:
            raise AttributeError("the official cv_bridge asks for ndarray.newbyteorder, which NumPy 2 does not have")
        return image if desired_encoding == "passthrough" else convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: NDArray, encoding: str = "passthrough", header: Header | None = None) -> Image:
        """Convert an array to a message.

        :param cvim: Array of shape (rows, columns) or (rows, columns, channels), in any memory layout.
        :param encoding: What the numbers mean; "passthrough" names their type alone, like 8UC3.
        :param header: Header of the message.
        :raises CvBridgeError: when the array does not have the encoding's type and number of channels.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError("Your input type is not a numpy array")
        if cvim.ndim not in (2, 3):
            raise CvBridgeError(f"an image has 2 or 3 dimensions, not {cvim.ndim}")
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        plain = name_of(cvim.dtype, channels)
        if encoding == "passthrough":
            encoding = plain
        _require(encoding, cvim.dtype.newbyteorder("="), channels, plain)
        message = Image()
        if header is not None:
            message.header = header
        message.height, message.width = cvim.shape[:2]
        message.encoding = encoding
        message.is_bigendian = cvim.dtype.str.startswith(">")
        message.step = message.width * channels * cvim.dtype.itemsize
        # Only an array of this kind is taken over as it is; anything else is checked byte by byte.
        message.data = array("B")
        message.data.frombytes(np.ascontiguousarray(cvim).view(np.uint8))
        return message


def _require(name: str, dtype: np.dtype, channels: int, plain: str) -> None:
    wanted = encoding(name)
    if (wanted.dtype, wanted.channels) != (dtype, channels):
        raise CvBridgeError(f"encoding specified as {name}, but image has incompatible type {plain}")
