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

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray:
        """Convert a message to an array.

        :param img_msg: The message. Rows may be padded, numbers big-endian.
        :param desired_encoding: An encoding's name, or "passthrough" for that of the message.
        :return: The array, in the byte order of this machine; it may share the memory of the message.
        :raises CvBridgeError: when the encoding is not known, the data too short, or the conversion makes no sense.
        """
        source = encoding(img_msg.encoding)
        row = img_msg.width * source.channels * source.dtype.itemsize
        if img_msg.step < row or len(img_msg.data) < img_msg.height * img_msg.step:
            raise CvBridgeError(
                f"{len(img_msg.data)} bytes in rows of {img_msg.step} do not hold "
                f"{img_msg.width} x {img_msg.height} pixels of [{img_msg.encoding}]"
            )
        data = np.frombuffer(img_msg.data, np.uint8, img_msg.height * img_msg.step)
        rows = np.ascontiguousarray(data.reshape(img_msg.height, img_msg.step)[:, :row])
        stored = rows.view(source.dtype.newbyteorder(">" if img_msg.is_bigendian else "<"))
        image = stored.astype(source.dtype, copy=False)
        if source.channels > 1:
            image = image.reshape(img_msg.height, img_msg.width, source.channels)
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
