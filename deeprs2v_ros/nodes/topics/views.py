"""Publishes what is seen, to those who look: pictures, the live plane in its place, and what surrounds it in 3D."""

from __future__ import annotations

from time import monotonic

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.frames import IMAGE
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import METRES, image_message
from deeprs2v_ros.nodes.topics.markers import plane_border, surfaces
from deeprs2v_ros.view.pictures import NAMES, Scenery, Sight, draw_pictures
from deeprs2v_ros.view.words import because

GREY = ("slice", "mri")
"""Pictures that have no colours."""

SURFACES_PERIOD = 0.25
"""s: how often surfaces are renewed, which are large."""


class Views:
    """``view/...``: the pictures of `view.pictures`, ``view/plane`` (a map) and ``view/markers``, of a ``node``."""

    def __init__(self, node: Node, images: ImageGeometry) -> None:
        self._clock, self._images = node.get_clock(), images
        self._pictures = {name: node.create_publisher(Image, f"view/{name}", qos.IMAGES) for name in NAMES}
        self._plane = node.create_publisher(OccupancyGrid, "view/plane", qos.STATUS)
        self._markers = node.create_publisher(MarkerArray, "view/markers", qos.STATUS)
        self._renewed = 0.0

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return any(each.get_subscription_count() for each in (*self._pictures.values(), self._plane, self._markers))

    def show(self, sight: Sight, scenery: Scenery, message: Image | None) -> None:
        """Show an image with what is said of it; ``message`` is None if it was shown before."""
        stamp = self._clock.now().to_msg() if message is None else message.header.stamp
        wanted = [name for name, each in self._pictures.items() if each.get_subscription_count()]
        for name, picture in draw_pictures(sight, scenery, self._images, wanted).items():
            encoding = "mono8" if name in GREY else "rgb8"
            self._pictures[name].publish(image_message(picture, encoding, IMAGE, stamp))
        if self._plane.get_subscription_count():
            self._plane.publish(self._map(sight.frame, stamp))
        if self._markers.get_subscription_count():
            self._markers.publish(self._around(sight, scenery))

    def _map(self, frame: NDArray[np.uint8], stamp: object) -> OccupancyGrid:
        """The live image in the plane z = 0 of us_image, where RViz and Foxglove draw it with exact grey levels."""
        x, y = self._images.pixel_size
        if x != y:
            rows = max(1, round(frame.shape[0] * y / x))
            frame = frame[np.minimum((np.arange(rows) + 0.5) * x / y, frame.shape[0] - 1).astype(int)]
        grid = OccupancyGrid()
        grid.header.frame_id, grid.header.stamp = IMAGE, stamp
        grid.info.resolution = METRES * x
        grid.info.height, grid.info.width = frame.shape
        grid.info.origin.position.x, grid.info.origin.position.y = -0.5 * METRES * x, -0.5 * METRES * y
        grid.info.origin.orientation.w = 1.0
        grid.data.frombytes(frame.tobytes())
        return grid

    def _around(self, sight: Sight, scenery: Scenery) -> MarkerArray:
        rows, columns = self._images.shape
        width, height = columns * self._images.pixel_size[0], rows * self._images.pixel_size[1]
        markers = plane_border(width, height, sight.state, because(sight.state, sight.reason), sight.believed)
        if not (sight.believed and sight.predicted):  # TF would go on giving away the last prediction
            return MarkerArray(markers=markers + surfaces(scenery.structures, gone=True))
        if monotonic() - self._renewed > SURFACES_PERIOD:
            self._renewed = monotonic()
            markers += surfaces(scenery.structures)
        return MarkerArray(markers=markers)
