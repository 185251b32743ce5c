"""A status as `Status.gather` returns it, of a forwarder that works."""

from typing import Any


def sound_status(**changes: Any) -> dict[str, Any]:
    """The status, with the given changes."""
    return {
        "problems": [],
        "version": "0.1.0",
        "uptime_seconds": 100.4,
        "ready": True,
        "not_ready_reason": None,
        "balanced": True,
        "stored": 12,
        "duplicates": 2,
        "rejected": 1,
        "store_bytes": 4096,
        "store_waiting_bytes": 1024,
        "store_max_bytes": 10_000,
        "okta": {"acme": org(), "shop": org(hook=None, log=None, accepted_seconds_ago=None)},
        "sinks": {"siem": sink(), "archive": sink(waiting=3, oldest_waiting_seconds=7.25, state="retrying")},
    } | changes


def org(**changes: Any) -> dict[str, Any]:
    """One org that works."""
    return {
        "api": True,
        "accepted_seconds_ago": 3.21,
        "refused": 0,
        "log": {"missed": 4, "complete_up_to_seconds_ago": 12.34, "error": None},
        "hook": {"condition": "live", "error": None},
    } | changes


def sink(**changes: Any) -> dict[str, Any]:
    """One sink that works."""
    return {"state": "running", "delivered": 10, "waiting": 0, "dead": 2, "oldest_waiting_seconds": 0.0} | changes
