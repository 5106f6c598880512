"""Where the volume was, as latched TF in a bag tells it."""

import pytest
from replay_bag import BASE_FROM_VOLUME, START, STORE, images, place_message, write
from rosbags.rosbag2 import StoragePlugin, Writer

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.replay.volume_place import volume_place

ELSEWHERE = rigid(translation=(3.0, 0.0, 0.0)) @ BASE_FROM_VOLUME
KIND = "tf2_msgs/msg/TFMessage"


@pytest.mark.parametrize("topic", ["tf_static", "cart1/tf_static"])
def test_the_place_is_found_in_any_namespace(tmp_path, topic):
    bag = write(tmp_path / "bag", images(1), names={"tf_static": topic})
    assert volume_place(bag) == pytest.approx(BASE_FROM_VOLUME, abs=1e-6)


@pytest.fixture
def told(tmp_path):
    """Writes a bag in which latched TF says where frames are: (topic, frame, parent, place) each."""

    def make(*said):
        with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            topics = {
                topic: writer.add_connection(topic, KIND, typestore=STORE) for topic in {each[0] for each in said}
            }
            for number, (topic, frame, parent, place) in enumerate(said):
                message = place_message(START, frame, place, parent)
                writer.write(topics[topic], START + number, STORE.serialize_cdr(message, KIND))
        return tmp_path / "bag"

    return make


def test_the_same_place_may_be_said_again_and_other_frames_count_for_nothing(told):
    same = ("/tf_static", "us_volume", "base_link", BASE_FROM_VOLUME)
    bag = told(same, ("/tf_static", "tumor", "us_volume_corrected", ELSEWHERE), same)
    assert volume_place(bag) == pytest.approx(BASE_FROM_VOLUME, abs=1e-6)


@pytest.mark.parametrize("topic", ["/tf_static", "/cart2/tf_static"])
def test_several_places_are_refused(told, topic):
    bag = told(("/tf_static", "us_volume", "base_link", BASE_FROM_VOLUME), (topic, "us_volume", "base_link", ELSEWHERE))
    with pytest.raises(InputError, match=f"{bag}: us_volume was at several places"):
        volume_place(bag)


@pytest.mark.parametrize(
    ("topic", "frame", "parent"),
    [
        ("/tf", "us_volume", "base_link"),
        ("/tf_static", "us_volume", "world"),
        ("/tf_static", "us_volume_corrected", "base_link"),
    ],
)
def test_a_bag_that_does_not_say_it_is_refused(told, topic, frame, parent):
    bag = told((topic, frame, parent, BASE_FROM_VOLUME))
    with pytest.raises(InputError, match=f"{bag}: latched TF does not say where us_volume is"):
        volume_place(bag)
