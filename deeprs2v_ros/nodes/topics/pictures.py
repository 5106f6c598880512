"""Publishes the pictures of the registration node, to those who look."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from tf2_ros import Buffer, TransformException

from deeprs2v_ros.frames import CORRECTED, IMAGE, TUMOR
from deeprs2v_ros.nodes.running.parameters import declare
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import image_message, stamp_message, transform_from_message
from deeprs2v_ros.nodes.topics.overlay import Slicer, blend, draw_outline, point_in_image, refused
from deeprs2v_ros.parameters.cart import declare_tumour_radius
from deeprs2v_ros.registration.guidance import Outcome
from deeprs2v_ros.registration.preparation import Ready


class Pictures:
    """``registration/slice`` and ``registration/blend``, of images with ``pixel_size`` (x, y) mm."""

    def __init__(self, node: Node, pixel_size: tuple[float, float], buffer: Buffer) -> None:
        self._pixel_size, self._buffer = pixel_size, buffer
        self._shown: Ready | None = None  # what the slicer is of
        self._radius = declare_tumour_radius(partial(declare, node))
        self._slice = node.create_publisher(Image, "registration/slice", qos.IMAGES)
        self._blend = node.create_publisher(Image, "registration/blend", qos.IMAGES)

    def publish(self, outcome: Outcome) -> None:
        """Show what became of an image, if there was one. Only an accepted result is shown as right."""
        frame, verdict, result = outcome.image, outcome.verdict, outcome.result
        wanted = [publisher.get_subscription_count() > 0 for publisher in (self._slice, self._blend)]
        if frame is None or not any(wanted):
            return
        time = stamp_message(outcome.arrival.stamp)
        if verdict.accepted and result is not None and outcome.ready is not None:
            volume_slice = self._slicer_of(outcome.ready).slice(result.registered)
            picture = blend(frame, volume_slice)
            tumour = _tumour(self._buffer)
            if tumour is not None:
                draw_outline(picture, point_in_image(tumour, result.registered), self._radius, self._pixel_size)
        else:
            volume_slice = np.zeros_like(frame)
            picture = refused(frame, verdict.reason)
        if wanted[0]:
            self._slice.publish(image_message(volume_slice, "mono8", IMAGE, time))
        if wanted[1]:
            self._blend.publish(image_message(picture, "rgb8", IMAGE, time))

    def _slicer_of(self, ready: Ready) -> Slicer:
        if self._shown is not ready:
            self._shown = ready
            self._slicer = Slicer(ready.tracker.levels[-1].volume, ready.mask, self._pixel_size)
        return self._slicer


def _tumour(buffer: Buffer) -> NDArray[np.float64] | None:
    """Centre of the tumour in the volume (3,) mm, which never changes; None as long as nobody has said where it is."""
    try:
        message = buffer.lookup_transform(CORRECTED, TUMOR, Time())
    except TransformException:
        return None
    return transform_from_message(message.transform)[:3, 3]
