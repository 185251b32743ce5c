from forwarder.health_verdict.samples import KEPT, Key, Samples, read_values
from forwarder.metrics import Metrics

KEY: Key = ("hook_requests", "acme", "503")


def test_an_increase_is_that_of_the_time_asked_for() -> None:
    samples = Samples()
    for minute, value in enumerate([0, 1, 1, 4, 4]):
        samples.add(60.0 * minute, {KEY: value})
    assert samples.increase(KEY, 60) == 0
    assert samples.increase(KEY, 120) == 3
    assert samples.increase(KEY, 120, ended=60) == 3
    assert samples.increase(KEY, 120, ended=120) == 1
    assert samples.points(KEY, 60, ended=60) == [(-120.0, 1), (-60.0, 4)]


def test_a_counter_began_at_0_with_the_process_or_with_its_series() -> None:
    samples = Samples()
    assert (samples.increase(KEY, 60), samples.value(KEY), samples.labels("hook_requests")) == (0, None, [])
    samples.add(0.0, {})
    samples.add(60.0, {KEY: 3})
    assert samples.increase(KEY, 60) == samples.increase(KEY, 600) == 3
    assert samples.value(KEY, ago=60) is None
    assert samples.labels("hook_requests") == [("acme", "503")]


def test_a_day_of_samples_takes_little_memory_and_none_is_missing_from_the_last_hour() -> None:
    samples, now = Samples(), 0.0
    for _ in range(24 * 240):
        now += 15.0
        assert samples.is_due(now)
        samples.add(now, {KEY: now})
        assert not samples.is_due(now + 14)
    assert [samples.increase(KEY, 15, ended=15.0 * number) for number in range(240)] == [15.0] * 240
    assert KEPT - 300 <= samples.increase(KEY, KEPT - 300) <= KEPT
    assert len(samples.points(KEY, KEPT)) < 500


def test_a_sample_has_counters_of_the_metrics_and_numbers_of_the_status() -> None:
    metrics = Metrics()
    metrics.okta_requests.labels("acme", "GET /api/v1/logs", "429").inc(2)
    for event_type in ("user.session.start", "other"):
        metrics.events_received.labels("acme", "hook", event_type).inc()
    metrics.clock_offset.labels("acme").set(-7.5)
    for waited in (0.5, 2.0):
        metrics.ack_duration.labels("acme").observe(waited)
    found = read_values(metrics, {"store_waiting_bytes": 7, "reactions": {"waiting_retry": 1}})
    assert found["okta_requests", "acme", "GET /api/v1/logs", "429"] == 2
    assert found["events_received", "acme", "hook"] == 2
    assert [found["ack_duration", "acme", le] for le in ("1.0", "+Inf")] == [1, 2]
    assert found["clock_offset", "acme"] == -7.5
    assert (found["store_waiting_bytes",], found["reactions_waiting_retry",]) == (7, 1)
