"""What a physician would have seen of a replayed bag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deeprs2v_ros.bags import opened
from deeprs2v_ros.demo.film import LENGTH, film
from deeprs2v_ros.demo.scenes import Seen, find_valid_area
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.registration.pyramid import sample_volume
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.replay.messages import image_of
from deeprs2v_ros.replay.replay import Replayed
from deeprs2v_ros.replay.statuses import Status
from deeprs2v_ros.view.pictures import Scenery, Sight
from deeprs2v_ros.view.scenery import structures
from deeprs2v_ros.view.slices import Slicer


def guidance_film(replayed: Replayed, bag: Path, volume: Path) -> bytes | None:
    """A film of the guidance view around where the organ was farthest from rest; None if nothing was ever accepted."""
    accepted = [each for each in replayed.statuses if each.accepted]
    if not accepted:
        return None
    farthest = max(accepted, key=lambda each: np.linalg.norm(each.motion[:3, 3]))
    patient = _scenery(replayed, bag, volume)
    return film(_sights(replayed, bag), patient, replayed.images.pixel_size, farthest.stamp - round(0.5e9 * LENGTH))


def _scenery(replayed: Replayed, bag: Path, path: Path) -> Scenery:
    volume = read_volume(path)
    mask = find_valid_area(_sights(replayed, bag), replayed.images.shape)
    slicer = Slicer(sample_volume(volume, float(volume.spacing.min())), mask, replayed.images.pixel_size)
    return Scenery(slicer, structures=structures({}, replayed.target_in_volume, replayed.target_radius))


def _sights(replayed: Replayed, bag: Path) -> Iterator[Seen]:
    said = {each.frame: each for each in replayed.statuses if each.frame is not None}
    with opened(bag) as recorded:
        for frame, (_, _, message) in enumerate(recorded.messages((replayed.image_topic,))):
            if frame in said:
                try:
                    yield Seen(said[frame].stamp, _sight(said[frame], image_of(message)))
                except InputError:  # the nodes could not read it either
                    continue


def _sight(status: Status, frame: np.ndarray) -> Sight:
    state, tracked, held = State[status.state], status.tracked, status.broadcast_motion
    if status.accepted:
        return Sight(frame, state, status.reason, status.registered, True, status.covariance)
    if state is State.HOLDING and tracked is not None and held is not None:
        return Sight(frame, state, status.reason, held @ tracked, True)
    return Sight(frame, state, status.reason, tracked)
