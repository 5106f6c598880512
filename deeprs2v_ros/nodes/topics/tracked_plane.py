"""Where the image plane is by the arm, how sure that is, and whether the volume or the tumour has been moved."""

from __future__ import annotations

from threading import Event
from time import monotonic

from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import TransformException

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE, CORRECTED, IMAGE, TUMOR, VOLUME
from deeprs2v_ros.geometry import Array, seen_from
from deeprs2v_ros.nodes.running.diagnostics import Inflow
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import covariance_from_pose, transform_from_message
from deeprs2v_ros.nodes.topics.transforms import transforms_of

_FIXED = ((BASE, VOLUME), (CORRECTED, TUMOR))
"""Parents and children of latched transforms: where the volume was acquired, and where the tumour is in it."""


class TrackedPlane:
    """What TF and ``arm/image_pose`` say to a ``node``; ``centre`` (3,) mm is the image centre in the image frame.

    ``covariance`` (6, 6) is that of the plane's pose about the image centre, in image axes, once the arm has said it.
    """

    def __init__(self, node: Node, centre: Array) -> None:
        self._clock, self._logger = node.get_clock(), node.get_logger()
        self._about_centre = seen_from(centre)
        transforms, self._news = transforms_of(node), Event()
        transforms.on_change(self._news.set)
        self.buffer = transforms.buffer
        self.covariance: Array | None = None
        self.inflow = Inflow()
        self._given_up = False
        self._fixed: list[TransformStamped | None] = [None] * len(_FIXED)
        node.create_subscription(PoseWithCovarianceStamped, "arm/image_pose", self._on_pose, qos.STATUS)

    def give_up(self) -> None:
        """End all waiting for transforms, now and later."""
        self._given_up = True
        self._news.set()

    def locate(self, time: int, until: float) -> Array | None:
        """volume_from_image (4, 4) mm at ``time`` (ns); None if it has not come ``until`` then, on the steady clock."""
        if time <= 0:  # before time began; to TF, zero means the latest
            return None
        stamp = Time(nanoseconds=time, clock_type=self._clock.clock_type)
        while not self.buffer.can_transform(VOLUME, IMAGE, stamp):
            patience = until - monotonic()
            if patience <= 0.0 or self._given_up:
                return None
            self._news.wait(patience)
            self._news.clear()
        try:
            return transform_from_message(self.buffer.lookup_transform(VOLUME, IMAGE, stamp).transform)
        except (TransformException, InputError):  # a clock that jumps clears the buffer at any moment; or not rigid
            return None

    def moved(self) -> bool:
        """Whether the volume's place or the tumour's has changed since this was last asked."""
        before = self._fixed
        self._fixed = [self._now(*frames) or old for frames, old in zip(_FIXED, before, strict=True)]
        return any(
            old is not None and new.transform != old.transform for old, new in zip(before, self._fixed, strict=True)
        )

    def _now(self, parent: str, child: str) -> TransformStamped | None:
        try:
            return self.buffer.lookup_transform(parent, child, Time())
        except TransformException:
            return None

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            if message.header.frame_id.lstrip("/") != BASE:
                raise InputError(f"pose: is in {message.header.frame_id!r:.100}, not in {BASE}")
            self.covariance = self._about_centre @ covariance_from_pose(message.pose) @ self._about_centre.T
        except InputError as error:
            self.inflow.refuse("NOT_A_POSE")
            self._logger.warning(f"arm/image_pose refused: {error}", throttle_duration_sec=2.0)
            return
        self.inflow.count()
