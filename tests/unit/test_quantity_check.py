"""`check` warns of a time, a size or a number that is probably a slip, and never of a default."""

from typing import Any

import pytest

from forwarder.quantity_check import quantity_warnings
from forwarder.settings import read

SECRET = "Qx9sup3rs3cr3tvalue1234567890"


def warned(*place: str, value: Any = None) -> list[str]:
    tree: dict[str, Any] = {
        "orgs": {
            "acme": {
                "url": "https://acme.okta.com",
                "secrets": [SECRET],
                "api": {"token": "0" + SECRET},
                "hook": {"uri": "https://hooks.acme.com/okta/events"},
            }
        },
        "sinks": {
            "siem": {"kind": "elasticsearch", "hosts": ["https://es:9200"]},
            "traces": {"kind": "otlp", "endpoint": "https://otel:4318"},
            "archive": {"kind": "file", "path": "/tmp/x.ndjson"},
        },
        "reactions": {"webhooks": {"soc": {"url": "https://soc.acme.com/x", "secret": SECRET}}},
        "ops": {"heartbeat": "60s"},
    }
    section = tree
    for key in place[:-1]:
        section = section.setdefault(key, {})
    if place:
        section[place[-1]] = value
    return list(quantity_warnings(read(tree, files=False)))


def test_no_default_is_called_a_slip() -> None:
    assert warned() == []


SLIPS = [
    ("reconcile.poll", "1ms", "is less than 10s, so the polls use much of the rate limit"),
    ("reconcile.poll", "60d", "is more than 1d"),
    ("reconcile.lookback", "1s", "is less than 1m"),
    ("reconcile.grace", "5ms", "is less than 10s"),
    ("reconcile.grace", "5d", "is more than 1d"),
    ("reconcile.rate_share", 0.001, "is less than 0.02"),
    ("reconcile.rate_share", 1, "is more than 0.9, so other tools of the org"),
    ("orgs.acme.hook.check_interval", "1s", "is less than 10s"),
    ("orgs.acme.hook.check_interval", "60d", "is more than 1d"),
    ("receiver.header_timeout", "5ms", "is less than 1s"),
    ("receiver.header_timeout", "5h", "is more than 1m"),
    ("receiver.body_timeout", "10h", "is more than 5m"),
    ("receiver.keep_alive", "30ms", "is less than 1s"),
    ("receiver.keep_alive", "30d", "is more than 1h"),
    ("receiver.max_header_bytes", "1KiB", "is less than 4KiB"),
    ("receiver.max_header_bytes", "64MiB", "is more than 1MiB"),
    ("receiver.max_body", "10KiB", "is less than 1MiB, so a request may be answered 413"),
    ("receiver.max_body", "10GiB", "is more than 100MiB"),
    ("receiver.commit_timeout", "2ms", "is less than 200ms"),
    ("receiver.grace", "5h", "is more than 5m"),
    ("store.max_size", "10MiB", "is less than 64MiB"),
    ("store.retention", "7s", "is less than 1m"),
    ("store.dedup_window", "30s", "is less than 1h"),
    ("store.dedup_window", "36500d", "is more than 400d"),
    ("sinks.archive.rotate_bytes", "256KiB", "is less than 1MiB, so the folder fills with small files"),
    ("sinks.archive.rotate_age", "1s", "is less than 1m"),
    ("sinks.siem.retention", "90m", "is less than 1d"),
    ("sinks.siem.delivery.batch_bytes", "4KiB", "is less than 16KiB"),
    ("sinks.traces.delivery.batch_bytes", "1GiB", "is more than 64MiB"),
    ("sinks.siem.delivery.timeout", "30ms", "is less than 1s"),
    ("sinks.siem.delivery.timeout", "30h", "is more than 10m"),
    ("sinks.siem.delivery.backoff_cap", "500ms", "is less than 1s"),
    ("sinks.siem.delivery.backoff_cap", "30h", "is more than 1h"),
    ("rules.late", "10ms", "is less than 10s"),
    ("rules.max_age", "24s", "is less than 1m"),
    ("rules.max_keys", 1, "is less than 100"),
    ("rules.max_keys", 1_000_000_000, "is more than 10,000,000"),
    ("ops.heartbeat", "1s", "is less than 10s"),
    ("ops.heartbeat", "60d", "is more than 1h"),
    ("reactions.webhooks.soc.timeout", "10ms", "is less than 1s"),
]


@pytest.mark.parametrize(("key", "value", "expected"), SLIPS, ids=str)
def test_a_value_that_is_probably_a_slip_is_a_warning(key: str, value: Any, expected: str) -> None:
    (line,) = warned(*key.split("."), value=value)
    assert line.startswith(f"{key}: {expected}")
    assert "; write at " in line


def test_a_store_that_keeps_no_body_on_purpose_is_no_slip() -> None:
    assert warned("store", "retention", value="0s") == []


def test_an_emulated_org_on_this_machine_has_no_rate_limit_to_protect() -> None:
    def short(url: str) -> list[str]:
        hook = {"uri": "http://127.0.0.1:8080/okta/events", "check_interval": "1s"}
        org = {"url": url, "secrets": [SECRET], "api": {"token": "0" + SECRET}, "hook": hook}
        polling = {"poll": "1s", "grace": "1s", "rate_share": 1}
        archive = {"kind": "file", "path": "/tmp/x.ndjson"}
        return list(
            quantity_warnings(
                read({"orgs": {"acme": org}, "reconcile": polling, "sinks": {"archive": archive}}, files=False)
            )
        )

    assert short("http://127.0.0.1:8085") == []
    assert len(short("https://acme.okta.com")) == 4
