"""The test event that `forwarder doctor --send` posts. The event has the format of Okta's events, and its type and uuid
make it recognizable in every sink."""

from typing import Any

from forwarder.core.time import Micros, iso

EVENT_TYPE = "forwarder.doctor"
"""The event type of the test event. No event of Okta has this type."""

UUID_PREFIX = "d0c70000-"
"""The first characters of the uuid of a test event."""

TEXT = "Test event of `forwarder doctor --send`; nothing happened in Okta"


def doctor_uuid(random_hex: str) -> str:
    """Return a uuid that begins with `UUID_PREFIX`, from at least 24 random hex digits."""
    digits = random_hex[:24]
    return f"{UUID_PREFIX}{digits[:4]}-4{digits[5:8]}-8{digits[9:12]}-{digits[12:]}"


def envelope(uuid: str, source: str, now: Micros) -> dict[str, Any]:
    """Return the body of the POST: an event hook's envelope with one test event, published at `now`."""
    at = iso(now, "milliseconds")
    event = {
        "uuid": uuid,
        "eventType": EVENT_TYPE,
        "published": at,
        "version": "0",
        "severity": "INFO",
        "displayMessage": TEXT,
        "actor": {"id": EVENT_TYPE, "type": "Forwarder", "alternateId": EVENT_TYPE, "displayName": "forwarder doctor"},
        "outcome": {"result": "SUCCESS"},
        "target": [],
    }
    return {
        "eventType": "com.okta.event_hook",
        "eventTypeVersion": "1.0",
        "cloudEventsVersion": "0.1",
        "source": source,
        "eventId": uuid,
        "eventTime": at,
        "contentType": "application/json",
        "data": {"events": [event]},
    }
