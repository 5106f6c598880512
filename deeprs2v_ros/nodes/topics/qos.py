"""Quality of service of the topics, in one place, since a publisher and its subscribers have to fit."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

JOINTS = QoSProfile(depth=50)
IMAGES = QoSProfile(depth=20)
"""What image publishers offer."""
EVERY_IMAGE = QoSProfile(depth=20)
"""How live images are received from reliable publishers."""
LIVE = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
"""How they are received from others, and by displays."""
STATUS = QoSProfile(depth=100)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""For what holds until it is replaced: later subscribers still get it."""
TRANSFORMS = QoSProfile(depth=100)
FIXED_TRANSFORMS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""How TF is received, as tf2_ros does."""
