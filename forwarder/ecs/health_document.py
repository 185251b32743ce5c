"""Makes the health document: the state of the forwarder as an ECS document.

These documents have a data stream of their own.
"""

from collections.abc import Mapping
from typing import Any

from forwarder.core.time import Micros
from forwarder.ecs.alert_document import ALERT_MODULE
from forwarder.ecs.document import ECS_VERSION, iso

HEALTH_DATASET = "okta_forwarder.health"

_WORKING_SINK_STATES = {"running", "idle"}
_WORKING_HOOK_STATES = {"live", "unknown"}


def health_document(status: Mapping[str, Any], now: Micros, host: str, namespace: str) -> dict[str, Any]:
    """Return the health document of `status`, the result of `Status.gather` at the time `now` on the machine `host`.

    The document has lists with numbers for each org and sink. A search cannot distinguish the items of a list, so the
    document also has totals for the whole forwarder. `states` has a text for the state of each hook and each sink.
    """
    problems = status["problems"]
    return {
        "@timestamp": iso(now),
        "ecs": {"version": ECS_VERSION},
        "data_stream": {"type": "metrics", "dataset": HEALTH_DATASET, "namespace": namespace},
        "event": {
            "kind": "metric",
            "module": ALERT_MODULE,
            "dataset": HEALTH_DATASET,
            "outcome": "failure" if problems else "success",
        },
        "host": {"name": host},
        "service": {"name": "okta-forwarder", "type": ALERT_MODULE, "version": status["version"]},
        "message": problems[0]["text"] if problems else "All is well.",
        "tags": ["forwarded", "okta-forwarder-health"],
        ALERT_MODULE: {"health": _health(status)},
    }


def _health(status: Mapping[str, Any]) -> dict[str, Any]:
    orgs = [_org(name, org) for name, org in status["okta"].items()]
    sinks = [_sink(name, sink) for name, sink in status["sinks"].items()]
    problems = status["problems"]
    hooks = [org["hook"]["state"] for org in orgs if "hook" in org]
    return {
        "verdict": problems[0]["level"] if problems else "ok",
        "problems": [problem["text"] for problem in problems],
        "uptime": round(status["uptime_seconds"]),
        "ready": status["ready"],
        "balanced": status["balanced"],
        "stored": status["stored"],
        "duplicates": status["duplicates"],
        "rejected": status["rejected"],
        "store": {
            "bytes": status["store_bytes"],
            "waiting_bytes": status["store_waiting_bytes"],
            "max_bytes": status["store_max_bytes"],
        },
        "missed": sum(org.get("missed", 0) for org in orgs),
        "refused": sum(org["refused"] for org in orgs),
        "log_lag": max((org["log_lag"] for org in orgs if "log_lag" in org), default=0.0),
        "hooks_down": sum(state not in _WORKING_HOOK_STATES for state in hooks),
        "waiting": sum(sink["waiting"] for sink in sinks),
        "dead": sum(sink["dead"] for sink in sinks),
        "sink_lag": max((sink["lag"] for sink in sinks), default=0.0),
        "sinks_down": sum(sink["state"] not in _WORKING_SINK_STATES for sink in sinks),
        "states": [
            *(f"hook of {org['name']}: {org['hook']['state']}" for org in orgs if "hook" in org),
            *(f"sink {sink['name']}: {sink['state']}" for sink in sinks),
        ],
        "orgs": orgs,
        "sinks": sinks,
    }


def _org(name: str, org: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "refused": org["refused"]}
    if org["accepted_seconds_ago"] is not None:
        found["accepted_ago"] = _rounded(org["accepted_seconds_ago"])
    if hook := org["hook"]:
        found["hook"] = {"state": hook["condition"]}
    if log := org["log"]:
        found["missed"] = log["missed"]
        if log["complete_up_to_seconds_ago"] is not None:
            found["log_lag"] = _rounded(log["complete_up_to_seconds_ago"])
    return found


def _sink(name: str, sink: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "state": sink["state"],
        "delivered": sink["delivered"],
        "waiting": sink["waiting"],
        "dead": sink["dead"],
        "lag": _rounded(sink["oldest_waiting_seconds"]),
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 1)
