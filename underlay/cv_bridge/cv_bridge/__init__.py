"""ROS images as arrays and back: what the official cv_bridge offers and this project uses, under the same names."""

from cv_bridge.core import CvBridge
from cv_bridge.encodings import CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
