"""Plays a bag: reads what is in it, and what the parameters say, and puts every image through the live pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deeprs2v_ros.bags import Bag, opened
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE, IMAGE, TUMOR, VOLUME
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.messages import covariance_of, point_of, rigid_from, stamp_of
from deeprs2v_ros.parameters import cart, guidance
from deeprs2v_ros.parameters.file import GivenParameters, ParameterFile, read_parameters
from deeprs2v_ros.parameters.spelling import check_spelling
from deeprs2v_ros.registration.guidance import Clock, Guidance, GuidanceSettings
from deeprs2v_ros.replay.agreement import Agreement, agreement
from deeprs2v_ros.replay.arm import Kinematics, RecordedTransforms
from deeprs2v_ros.replay.audit import Said, read_audit
from deeprs2v_ros.replay.clock import BagClock
from deeprs2v_ros.replay.player import Conclusion, Player
from deeprs2v_ros.replay.reenactment import SET_ASIDE, Reenactment
from deeprs2v_ros.replay.statuses import Status, status_of
from deeprs2v_ros.replay.topics import Links, Topics, choose_topics, read_links
from deeprs2v_ros.replay.transforms import TransformTree

STATUS, TF, JOINT_STATES = "status", "tf", "joint_states"
SOURCES = (STATUS, TF, JOINT_STATES)
"""Where the poses may come from."""

_SAME_OFFSET = 10**6
"""ns by which what the nodes tell of image_time_offset may be off."""


@dataclass(frozen=True)
class Request:
    """What is to be played and how. ``topics`` are names by the fields of `Topics`, None for the usual ones.

    ``namespace`` is that of the topics, None for that of the images. ``all_images``: also those that the nodes did not
    register. ``poses`` is one of `SOURCES`, None for what there is. ``method``, ``mask`` and ``pixel_size`` (x, y) mm
    take the place of what the parameters say.
    """

    bag: Path
    volume: Path
    parameters: Path | None = None
    mask: Path | None = None
    method: str | None = None
    pixel_size: tuple[float, float] | None = None
    poses: str | None = None
    topics: Mapping[str, str | None] = field(default_factory=dict)
    namespace: str | None = None
    all_images: bool = False


@dataclass(frozen=True)
class Replayed:
    """What came of it: ``statuses`` as they were concluded, and where what was recorded says that things were.

    ``runtimes`` (ms) are those of the registrations. ``truth`` are the recorded positions (3,) mm of the target in
    base_link by stamp, and ``target_in_volume`` (3,) mm is its place in the volume; both may be missing. ``said`` is
    what the nodes said, by frame, and ``reenacted`` whether the images were treated accordingly. Images were on the
    topic ``image_topic``; the target is taken for a ball of ``target_radius`` mm.
    """

    images: ImageGeometry
    statuses: list[Status]
    runtimes: list[float]
    base_from_volume: Array | None
    target_in_volume: Array | None
    truth: dict[int, Array]
    poses: str
    said: dict[int, Said]
    reenacted: bool
    image_topic: str
    target_radius: float

    @property
    def agreement(self) -> Agreement | None:
        """How it compares to what the nodes said; None if the bag does not tell."""
        if not self.said:
            return None
        pairs = (
            (each.frame, each.accepted, each.registered, self.said[each.frame])
            for each in self.statuses
            if each.frame in self.said
        )
        return agreement(pairs, self.images.centre)

    @property
    def set_aside(self) -> dict[str, int]:
        """How many images were not registered since the nodes had not, by reason."""
        if not self.reenacted:
            return {}
        return dict(Counter(each.reason for each in self.statuses if each.reason in SET_ASIDE).most_common())


def replay(request: Request, log: Callable[[str], None]) -> Replayed:
    """Play the bag. ``log`` is told, in a line each, what a user should know.

    Raises InputError naming the bag, the topic, the parameter or the file for whatever is missing or wrong.
    """
    read_volume(request.volume)  # so that a bad one is reported at once
    file = read_parameters(request.parameters)
    check_spelling(file)
    with opened(request.bag) as bag:
        return _Performance(request, file, bag, choose_topics(bag, request.topics, request.namespace), log).play()


class _Performance:
    """One replay from beginning to end."""

    def __init__(
        self, request: Request, file: ParameterFile, bag: Bag, topics: Topics, log: Callable[[str], None]
    ) -> None:
        self._request, self._bag, self._topics, self._log = request, bag, topics, log
        recorded = _recorded_size(bag, topics)
        size = _size(file.of("registration"), request, recorded)
        given = file.of("registration", size | _asked_for(request))
        self._images = _images(given, recorded, f"{bag.path}: images on {topics.image}")
        mask = guidance.declare_mask(given)
        recipe, settings = guidance.declare_recipe(given), guidance.declare_guidance(given)
        deadline = round(1e9 * guidance.declare_transform_deadline(given))
        guidance.declare_prediction_rate(given)  # nobody looks here, but bad ones are refused as a node does
        self._target_radius = cart.declare_tumour_radius(file.of("guidance_view"))

        self._audit = read_audit(bag, topics.status, self._images.centre, log) if topics.status else None
        self._clock, self._tree = BagClock(bag.start), TransformTree()
        self._links = read_links(bag, topics)
        told = self._told(settings)
        if not told:
            self._links = _with_volume(self._links, file.of("volume_server"), self._tree, bag)
        self.poses = request.poses or (STATUS if told else JOINT_STATES if self._links.gap(VOLUME, IMAGE) else TF)
        self._statuses: list[Status] = []
        self._runtimes: list[float] = []
        self._truth: dict[int, Array] = {}
        self._configuration = f"parameters {given.digest()}"
        valid = read_mask(mask, self._images.shape) if mask else None

        def begin(clock: Clock, background: Executor) -> Guidance:
            return Guidance(self._images, valid, recipe, settings, clock, background, log)

        common = (self._images.centre, self._clock, self._tree, self._conclude, log)
        if self._audit is None or request.all_images:
            self._player = Player(begin, deadline, *common)
        else:
            self._player = Reenactment(begin, settings, self._audit, self.poses == STATUS, *common)
        self._handlers = self._connect(file.of("arm_kinematics", size))

    def play(self) -> Replayed:
        """All messages in the order in which they were received."""
        player, topics = self._player, self._topics
        player.use_volume(str(self._request.volume))
        with tqdm(total=self._bag.counts[topics.image], unit="image") as bar:
            for topic, received, message in self._bag.messages(self._handlers):
                player.advance(received)
                self._handlers[topic](message)
                player.work()
                bar.update(topic == topics.image)
            player.finish()
        self._warn_of_other_volumes()
        return Replayed(
            self._images,
            self._statuses,
            self._runtimes,
            self._tree.lookup(BASE, VOLUME, self._clock.now),
            self._links.places[TUMOR][:3, 3] if TUMOR in self._links.places else None,
            self._truth,
            self.poses,
            {} if self._audit is None else self._audit.by_frame(),
            isinstance(player, Reenactment),
            topics.image,
            self._target_radius,
        )

    def _warn_of_other_volumes(self) -> None:
        ours = {each.volume for each in self._statuses}
        theirs = {each.volume for each in self._audit.said} if self._audit else set()
        others = {_digest(each): each for each in theirs if each}
        for digest in others.keys() - {_digest(each) for each in ours}:
            self._log(f"the nodes registered to another volume, {others[digest]}")

    def _told(self, settings: GuidanceSettings) -> bool:
        """Whether the poses are what the nodes said. Raises InputError if they should be and cannot."""
        asked = self._request.poses
        if self._audit is None or self._request.all_images:
            if asked == STATUS:
                why = "are not in the bag" if self._audit is None else "do not count with --all-images"
                raise InputError(f"{self._bag.path}: --poses {STATUS}: the statuses of the nodes {why}")
            return False
        theirs, ours = self._audit.image_time_offset, settings.image_time_offset
        other = theirs is not None and abs(theirs - round(1e9 * ours)) > _SAME_OFFSET
        if other:
            self._log(f"image_time_offset is {ours:g} s, for the nodes it was {theirs / 1e9:g}: other poses are due")
        return asked == STATUS or (asked is None and not other)

    def _connect(self, kinematics: GivenParameters) -> dict[str, Callable[[Any], None]]:
        """Who takes the messages of which topic."""
        topics, bag, player, links = self._topics, self._bag.path, self._player, self._links
        gap = links.gap(VOLUME, IMAGE)
        frames = {*links.up_from(VOLUME)}
        handlers = {topics.image: self._on_image, topics.target: self._on_target}
        if isinstance(player, Reenactment):
            handlers[topics.status] = player.on_status
        if self.poses != JOINT_STATES:
            if gap and self.poses == TF:
                raise InputError(f"{bag}: {gap}")
            frames.update(links.up_from(IMAGE))
            handlers[topics.pose] = self._on_pose
        elif not topics.joints:
            raise InputError(f"{bag}: {gap + ', and there are' if gap else 'there are'} no joint states")
        else:
            arm = self._arm(kinematics)
            handlers[topics.joints] = arm.on_joints
            frames.difference_update(arm.links)
        recorded = RecordedTransforms(self._tree, frames, self._clock, player, self._log)
        handlers[topics.tf], handlers[topics.tf_static] = recorded.on_transforms, recorded.on_fixed_transforms
        handlers.pop("", None)
        return handlers

    def _arm(self, kinematics: GivenParameters) -> Kinematics:
        """What makes poses of joint states."""
        images = cart.declare_images(kinematics)
        arm = cart.declare_arm_settings(kinematics).read()
        arm = arm.holding(images.shape, images.image_from_pixel, images.face)
        period = round(1e9 / cart.declare_pose_rate(kinematics))
        root = self._links.up_from(VOLUME)[-1]
        if root not in arm.chain.links:
            raise InputError(
                f"{self._bag.path}: TF leads from {VOLUME} to {root}, which is no link of {arm.chain.source}"
            )
        return Kinematics(self._tree, arm, period, self._clock, self._player, self._log)

    def _on_image(self, message: Any) -> None:
        if self._audit is not None:
            self._audit.match(stamp_of(message.header))
        self._player.on_image(message)

    def _on_pose(self, message: Any) -> None:
        try:
            self._player.on_arm(covariance_of(message))
        except InputError as error:
            self._log(f"{self._topics.pose}: {error}")

    def _on_target(self, message: Any) -> None:
        self._truth[stamp_of(message.header)] = point_of(message.point)

    def _conclude(self, conclusion: Conclusion) -> None:
        self._statuses.append(status_of(conclusion, self._configuration))
        if conclusion.outcome.result is not None:
            self._runtimes.append(1e3 * conclusion.outcome.result.runtime)


def _digest(source: str) -> str:
    """The last word of a file's name and SHA-256."""
    return source.rpartition(" ")[2]


def _asked_for(request: Request) -> dict[str, Any]:
    """Parameters that the command line has put in the place of those in the file."""
    asked = {"method": request.method, "mask": None if request.mask is None else str(request.mask)}
    return {name: value for name, value in asked.items() if value is not None}


def _size(given: GivenParameters, request: Request, recorded: tuple[int, int]) -> dict[str, Any]:
    """What the command line and the bag say of the images that the parameters do not."""
    names = ("image.rows", "image.columns")
    size: dict[str, Any] = {name: value for name, value in zip(names, recorded, strict=True) if name not in given}
    return size if request.pixel_size is None else size | {"image.pixel_size": list(request.pixel_size)}


def _recorded_size(bag: Bag, topics: Topics) -> tuple[int, int]:
    """Rows and columns of the first image."""
    _, _, first = next(bag.messages((topics.image,)))
    return first.height, first.width


def _images(given: GivenParameters, recorded: tuple[int, int], where: str) -> ImageGeometry:
    """The images' geometry, as the parameters say, if it is that of the bag."""
    if "image.pixel_size" not in given:
        raise InputError(
            f"{where} do not say how large a pixel is: image.pixel_size in the parameters, or --pixel-size"
        )
    images = cart.declare_images(given)
    if images.shape != recorded:
        raise InputError(
            f"{where} have {recorded[0]} rows and {recorded[1]} columns, by the parameters image.rows, image.columns "
            f"they have {images.shape[0]} and {images.shape[1]}"
        )
    return images


def _with_volume(links: Links, server: GivenParameters, tree: TransformTree, bag: Bag) -> Links:
    """The links with the place of the volume by the parameters of volume_server, if TF does not say it."""
    if VOLUME in links.parents:
        return links
    if "base_from_volume.xyz" not in server:
        raise InputError(
            f"{bag.path}: TF does not say where {VOLUME} is, nor do the parameters base_from_volume of volume_server"
        )
    base_from_volume = rigid_from(*cart.declare_volume_place(server), "parameters base_from_volume")
    tree.insert(BASE, VOLUME, 0, base_from_volume, fixed=True)
    return Links({**links.parents, VOLUME: BASE}, {**links.places, VOLUME: base_from_volume})
