"""What anyone gets who looks the tumour up in TF."""

import pytest
import rclpy
from bench import overrides
from geometry_msgs.msg import PointStamped
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.msg import RegistrationStatus as Status
from deeprs2v_ros.nodes.target_monitor import TargetMonitor
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds, stamp_message, transform_messages


class Cart:
    """Publishes what the other nodes would: volume at (1, 0, 0) m, tumour at (0, 2, 0) m in it."""

    def __init__(self, context, keep, spin_until, **parameters):
        self.monitor = keep(TargetMonitor(context=context, parameter_overrides=overrides(parameters)))
        self.node = keep(rclpy.create_node("cart", context=context))
        self._spin_until = spin_until
        self.targets, self.now, self.predicted, self.markers = [], [], [], []
        self.node.create_subscription(PointStamped, "monitor/target", self.targets.append, qos.STATUS)
        self.node.create_subscription(PointStamped, "monitor/target_now", self.now.append, qos.STATUS)
        self.node.create_subscription(PointStamped, "monitor/target_predicted", self.predicted.append, qos.STATUS)
        self.node.create_subscription(MarkerArray, "monitor/markers", self.markers.append, qos.STATUS)
        self._status = self.node.create_publisher(Status, "registration/status", qos.STATUS)
        self._static, self._moving = StaticTransformBroadcaster(self.node), TransformBroadcaster(self.node)
        fixed = [
            ("base_link", "us_volume", (1000.0, 0.0, 0.0)),
            ("us_volume_corrected", "tumor", (0.0, 2000.0, 0.0)),
            ("us_volume_predicted", "tumor_predicted", (0.0, 2000.0, 0.0)),
        ]
        places = [LinkTransform(parent, child, rigid(translation=to)) for parent, child, to in fixed]
        self._static.sendTransform(transform_messages(places, stamp_message(1)))
        self.until(lambda: self._status.get_subscription_count() == 1)
        self.until(lambda: self._moving.pub_tf.get_subscription_count() == 1)
        self.until(lambda: self.monitor.count_subscribers("monitor/target_now") == 1)

    def until(self, condition):
        self._spin_until(condition, self.monitor, self.node)

    def correct(self, stamp, z, child="us_volume_corrected"):
        place = LinkTransform("us_volume", child, rigid(translation=(0.0, 0.0, z)))
        self._moving.sendTransform(transform_messages([place], stamp_message(stamp)))

    def say(self, stamp, state=Status.TRACKING, accepted=True):
        message = Status(state=state, accepted=accepted)
        message.header.stamp = stamp_message(stamp)
        self._status.publish(message)

    def clock(self):
        return self.node.get_clock().now().nanoseconds


@pytest.fixture
def cart(ros, keep, spin_until):
    return Cart(ros, keep, spin_until)


def xyz(message):
    return message.point.x, message.point.y, message.point.z


def test_target_is_where_tf_says_at_the_stamp_of_the_image(cart):
    start = cart.clock()
    for k in range(3):
        cart.correct(start + k, 30.0 * k)
        cart.say(start + k)
    cart.until(lambda: len(cart.targets) == 3)
    for k, message in enumerate(cart.targets):
        assert message.header.frame_id == "base_link"
        assert nanoseconds(message.header.stamp) == start + k
        assert xyz(message) == pytest.approx((1.0, 2.0, 0.03 * k))


def test_target_now_is_the_latest_and_stamped_with_the_look_up(cart):
    start = cart.clock()
    cart.correct(start, 30.0)
    cart.say(start)
    cart.until(lambda: len(cart.now) >= 3)  # whether images come or not
    before = cart.clock()
    count = len(cart.now)
    cart.until(lambda: len(cart.now) > count)
    assert xyz(cart.now[-1]) == pytest.approx((1.0, 2.0, 0.03))
    assert nanoseconds(cart.now[0].header.stamp) < before - 20_000_000 < nanoseconds(cart.now[-1].header.stamp)
    cart.say(start + 1, Status.LOST, accepted=False)
    cart.until(lambda: cart.clock() - nanoseconds(cart.now[-1].header.stamp) > 100_000_000)


def test_the_predicted_target_is_asked_for_as_long_as_somebody_predicts_it(cart):
    def predicted():  # and renewed, as one that is late counts for nothing
        cart.correct(cart.clock(), 10.0, "us_volume_predicted")
        return len(cart.predicted) >= 30 and cart.markers

    cart.until(predicted)
    assert xyz(cart.predicted[-1]) == pytest.approx((1.0, 2.0, 0.01))
    last = cart.clock()
    cart.until(lambda: cart.clock() > last + 400_000_000)
    assert nanoseconds(cart.predicted[-1].header.stamp) < last + 150_000_000
    assert cart.now == []  # nobody is TRACKING
    marker = cart.markers[-1].markers[0]
    assert marker.header.frame_id == "base_link" and 0 < marker.lifetime.nanosec < 500_000_000 > marker.lifetime.sec
    assert nanoseconds(cart.markers[-1].markers[0].header.stamp) < last + 150_000_000


def test_target_of_an_image_that_was_not_accepted_is_not_published(cart):
    start = cart.clock()
    cart.correct(start, 0.0)
    for state, accepted in ((Status.HOLDING, False), (Status.TRACKING, False), (Status.LOST, False)):
        cart.say(start, state, accepted)
    cart.correct(start + 1, 0.0)
    cart.say(start + 1)
    cart.until(lambda: len(cart.targets) == 1)
    assert nanoseconds(cart.targets[0].header.stamp) == start + 1


def test_status_that_comes_before_its_transform_waits_for_it(ros, keep, spin_until):
    cart = Cart(ros, keep, spin_until, transform_deadline=10.0)
    start = cart.clock()
    cart.correct(start, 0.0)
    cart.say(start)
    cart.until(lambda: len(cart.targets) == 1)
    cart.say(start + 1)
    count = len(cart.now)
    cart.until(lambda: len(cart.now) > count + 1)  # the status is there
    assert len(cart.targets) == 1
    cart.correct(start + 1, 60.0)
    cart.until(lambda: len(cart.targets) == 2)
    assert xyz(cart.targets[1]) == pytest.approx((1.0, 2.0, 0.06))


def test_status_without_its_transform_is_given_up(cart):
    start = cart.clock()
    cart.say(start + 1)
    cart.correct(start, 0.0)
    cart.until(lambda: cart.clock() > start + 300_000_000)
    cart.correct(start + 2, 0.0)
    cart.say(start + 2)
    cart.until(lambda: len(cart.targets) >= 1)
    assert [nanoseconds(message.header.stamp) for message in cart.targets] == [start + 2]
