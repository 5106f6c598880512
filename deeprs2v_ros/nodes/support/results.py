"""The outputs of the registration node: TF, the status, and pictures, in that order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from tf2_ros import Buffer, TransformBroadcaster

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.geometry import Array, image_centre, inverse
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.conversions import stamp_message, transform_messages
from deeprs2v_ros.nodes.support.frames import CORRECTED, VOLUME
from deeprs2v_ros.nodes.support.parameters import digest
from deeprs2v_ros.nodes.support.pictures import Pictures
from deeprs2v_ros.nodes.support.preparation import Ready
from deeprs2v_ros.nodes.support.scene import ImageGeometry
from deeprs2v_ros.nodes.support.status import Provenance, Timing, status_message
from deeprs2v_ros.registration.supervisor import Verdict
from deeprs2v_ros.registration.tracker import Registration


class Results:
    """Says of one image after the other what became of it. Made after all parameters of the ``node`` are declared."""

    def __init__(self, node: Node, images: ImageGeometry, buffer: Buffer) -> None:
        self._clock = node.get_clock()
        self._centre = image_centre(images.shape, images.image_from_pixel)
        self._pictures = Pictures(node, images.pixel_size, buffer)
        self._broadcaster = TransformBroadcaster(node)
        self._status = node.create_publisher(RegistrationStatus, "registration/status", qos.STATUS)
        self._configuration = f"parameters {digest(node)}"

    def announce(
        self,
        timing: Timing,
        verdict: Verdict,
        ready: Ready | None,
        image: NDArray[np.uint8] | None = None,
        tracked: Array | None = None,
        result: Registration | None = None,
    ) -> None:
        """Broadcast what may be believed, say so, then show it.

        ``ready`` is what the image was or would have been registered with; ``image`` (rows, columns), ``tracked``
        (volume_from_image, 4x4 mm) and ``result`` are there as far as things went.
        """
        if verdict.broadcast is not None:
            place = LinkTransform(VOLUME, CORRECTED, inverse(verdict.broadcast))
            self._broadcaster.sendTransform(transform_messages([place], stamp_message(timing.shown)))
        provenance = Provenance(*(("", "") if ready is None else (ready.source, ready.weights)), self._configuration)
        message = status_message(timing, verdict, tracked, result, self._centre, provenance)
        message.latency_published = timing.since_stamp(self._clock.now().nanoseconds)
        self._status.publish(message)
        if image is not None:
            self._pictures.publish(timing.stamp, image, verdict, result, None if ready is None else ready.slicer)
