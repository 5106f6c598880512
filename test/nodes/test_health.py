"""Whether a node that dies is noticed, and what the nodes say of themselves."""

import rclpy
from bench import overrides
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from deeprs2v_ros.nodes import health
from deeprs2v_ros.nodes.health import Health
from deeprs2v_ros.nodes.running.diagnostics import ERROR, OK, Condition, Diagnostics, Inflow
from deeprs2v_ros.nodes.topics import qos


class Cart:
    """A health node in a namespace and two nodes that say what they are told to."""

    def __init__(self, ros, keep, spin_until, namespace="/cart1"):
        self._spin_until = spin_until
        options = {"context": ros, "namespace": namespace}
        self.health = keep(Health(parameter_overrides=overrides({"nodes": ["one", "two"]}), **options))
        self.conditions, self.nodes, self.heard = {}, {}, []
        for name in ("one", "two"):
            self.conditions[name] = Condition()
            self.nodes[name] = keep(rclpy.create_node(name, **options))
        self.reports = {
            name: Diagnostics(node, lambda name=name: self.conditions[name]) for name, node in self.nodes.items()
        }
        self.nodes["one"].create_subscription(DiagnosticStatus, "health", self.heard.append, qos.STATUS)

    def until(self, condition):
        self._spin_until(lambda: self.heard and condition(self.heard[-1]), self.health, *self.nodes.values())


def test_the_worst_is_summed_up_and_a_node_that_falls_silent_is_worse(ros, keep, spin_until, monkeypatch):
    monkeypatch.setattr(health, "SILENT", 2.5)
    cart = Cart(ros, keep, spin_until)
    cart.until(lambda said: said.level == OK)
    assert cart.heard[-1].message == "all is well"
    cart.conditions["two"] = Condition(ERROR, "LOST: LOW_LNCC")
    cart.until(lambda said: said.level == ERROR)
    assert cart.heard[-1].message == "two: LOST: LOW_LNCC"
    cart.nodes["two"].destroy_timer(cart.reports["two"]._timer)
    cart.until(lambda said: said.level == DiagnosticStatus.STALE)
    assert "two: silent" in cart.heard[-1].message
    cart.reports["two"].report()
    cart.until(lambda said: said.level == ERROR)


def test_the_same_names_in_another_namespace_count_for_nothing(ros, keep, spin_until):
    cart = Cart(ros, keep, spin_until)
    cart.conditions = dict.fromkeys(cart.conditions, Condition(OK, "here"))
    stranger = keep(rclpy.create_node("one", context=ros, namespace="/cart2"))
    elsewhere = Diagnostics(stranger, lambda: Condition(ERROR, "there"))
    for _ in range(3):
        elsewhere.report()
        count = len(cart.heard)
        cart.until(lambda said, count=count: len(cart.heard) > count and said.level == OK)


def test_a_inflow_tells_good_from_refused():
    inflow = Inflow()
    assert inflow.values("images")["seconds since the last of the good images"] == "never"
    for latency in (0.01, 0.02, 0.03):
        inflow.count(latency)
    inflow.refuse("DUPLICATE")
    inflow.refuse("DUPLICATE")
    values = inflow.values("images")
    assert (values["good images"], values["images refused, DUPLICATE"]) == ("3", "2")
    assert values["latency, median of the last 100 (ms)"] == "20"
    assert inflow.silence() < 60.0


def test_a_registration_reports_what_it_refused(bench):
    reports = []
    bench.hand.create_subscription(DiagnosticArray, "/diagnostics", reports.append, qos.STATUS)
    bench.until_tracking()
    stamp = bench.now()
    bench.show(stamp)
    bench.show(stamp)

    def values():
        return {each.key: each.value for message in reports[-1:] for each in message.status[0].values}

    bench.until(lambda: values().get("images refused, DUPLICATE") == "1")
    assert int(values()["good images"]) >= 1 and float(values()["memory of the process (MB)"]) > 10.0
    assert reports[-1].status[0].name == "/registration"
