"""The host's time of samples that arrive late, by any amount, in bursts, from a clock that drifts."""

import numpy as np
import pytest

from deeprs2v_ros.arm.device_clock import WINDOW, DeviceClock

SECOND, MILLISECOND = 1_000_000_000, 1_000_000


def stamp_errors(times, arrivals, drift):
    """Error (ns) of every stamp. times: true ones (N,); what has the same arrival comes together."""
    clock = DeviceClock()
    device = np.round(times * (1.0 + drift)).astype(int) + 123456
    errors = []
    for arrival in np.unique(arrivals):
        together = arrivals == arrival
        for time in device[together].tolist():
            clock.observe(time, int(arrival))
        errors += [clock.stamp(time) for time in device[together].tolist()]
    return np.array(errors) - times


@pytest.mark.parametrize("drift", [0.0, 1e-4, -1e-4])
def test_bursts_of_16_ms_at_500_hz(drift):
    times = np.arange(0, 30 * SECOND, 2 * MILLISECOND)
    arrivals = (times // (16 * MILLISECOND) + 1) * 16 * MILLISECOND + 300_000
    errors = stamp_errors(times, arrivals, drift)
    shortest = (arrivals - times).min()  # 2.3 ms: the last of each burst
    slack = abs(drift) * WINDOW + 1_000
    assert errors.max() <= shortest + slack
    assert errors.min() >= shortest - slack
    assert np.diff(times + errors).min() > 1.8 * MILLISECOND  # they come in bursts, but their stamps do not


def test_late_arrivals_of_any_kind_leave_no_trace():
    rng = np.random.default_rng(1)
    times = np.arange(0, 20 * SECOND, 2 * MILLISECOND)
    ready = times + rng.exponential(3 * MILLISECOND, len(times)).astype(int)
    ready[5000:5400] = ready[5400]  # the host was away for 0.8 s
    arrivals = np.maximum.accumulate(ready)
    settled = slice(500, None)
    errors = stamp_errors(times, arrivals, 5e-5)[settled]
    assert errors.max() < 0.3 * MILLISECOND
    assert errors.min() >= -5e-5 * WINDOW - 1_000


def test_first_samples_are_late_by_the_least_late_of_their_burst():
    times = np.arange(0, 16 * MILLISECOND, 2 * MILLISECOND)
    errors = stamp_errors(times, np.full(len(times), 15 * MILLISECOND), 0.0)
    assert errors == pytest.approx(MILLISECOND, abs=1)


def test_a_clock_that_stood_still_is_forgotten_within_the_window():
    clock = DeviceClock()
    clock.observe(0, 100)
    for time in range(MILLISECOND, 2 * WINDOW, MILLISECOND):
        clock.observe(time, time + 50 * MILLISECOND)
        early = clock.stamp(time) - (time + 50 * MILLISECOND)
        assert early == (0 if time + 50 * MILLISECOND > WINDOW + 100 else 100 - 50 * MILLISECOND)
