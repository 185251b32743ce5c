"""How many events a second one core maps. Usage: python -m tests.bench.bench_ecs

Two sizes: a sign-in of about 2.7 kB, as most events are, and one of about 5 kB with a long IP chain, many targets and
change details and more debug data. The time is the processor's, not the wall's, so that a busy machine does not change the figure.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from forwarder.core.event import Event
from forwarder.ecs.attributes import log_view
from forwarder.ecs.document import DocumentOptions, document
from tests.unit.ecs.okta_events import Json, event_of, sign_in

ROUNDS = 500
CALLS = 20
WANTED = 15_000


def usual() -> Json:
    """A sign-in as Okta's System Log has it."""
    raw = sign_in()
    raw["client"]["userAgent"]["rawUserAgent"] = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + "Gecko " * 12
    raw["debugContext"]["debugData"] |= {
        "logOnlySecurityData": json.dumps({"risk": {"level": "LOW"}, "behaviors": {"New IP": "NEGATIVE"}}),
        "targetEventHookIds": "who7hphp39JoHLni81d7,who3p0a3y5uKucF8I0g8",
        "dtHash": "f59d98b2e02f1319ef4ca651f57c36e3f25507f67dd6daf0408f753896b7e8dc",
        "origin": "https://example-org.okta.com",
    }
    return raw


def large() -> Json:
    """An event of a chain of proxies, with several targets and what was changed."""
    raw = usual()
    raw["request"]["ipChain"] *= 4
    changes = {"from": {"zones": {"include": None}}, "to": {"zones": {"include": ["ALL"]}, "message": "Use the VPN"}}
    raw["target"] += [
        {"id": f"00u{n}", "type": "User", "alternateId": f"user{n}@example.com", "displayName": f"User {n}"}
        for n in range(5)
    ]
    raw["debugContext"]["debugData"] |= {f"detail{n}": "0123456789abcdef" * 6 for n in range(12)}
    raw["target"].append({"id": "0oa2", "type": "AppInstance", "displayName": "Payroll", "changeDetails": changes})
    return raw


def seconds(call: Callable[[], Any]) -> float:
    """Of the processor, for one call: the best of many rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, (time.process_time() - began) / CALLS)
    return best


def report(name: str, event: Event) -> float:
    """Print the figures of one event; give documents a second."""
    options = DocumentOptions()
    mapped = 1 / seconds(lambda: document(event, options))
    written = 1 / seconds(lambda: msgspec.json.encode(document(event, options)))
    viewed = 1 / seconds(lambda: log_view(event))
    print(
        f"{name}, {len(event.body):,} bytes: {mapped:,.0f} documents/s, {written:,.0f} with their JSON, {viewed:,.0f} log records/s"
    )
    return mapped


def main() -> None:
    figures = [report("usual", event_of(compact(usual()))), report("large", event_of(compact(large())))]
    print(f"wanted: {WANTED:,} documents/s: {'met' if min(figures) >= WANTED else 'NOT met'}")


def compact(raw: Json) -> bytes:
    return json.dumps(raw, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
