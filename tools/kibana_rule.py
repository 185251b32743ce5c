"""A detection rule for Kibana: the heartbeat of a forwarder has stopped. Written as Kibana exports rules."""

from typing import Any

RULE_QUERY = """\
FROM metrics-okta_forwarder.health-*
| STATS latest = MAX(@timestamp), documents = COUNT(*) BY host.name, data_stream.namespace
| WHERE latest < NOW() - 5 minutes
| KEEP host.name, data_stream.namespace, latest, documents"""
"""Looks at the last day, by `from` of the rule: a forwarder that was removed is forgotten after it."""

_DESCRIPTION = (
    "A forwarder that wrote its health into Elasticsearch within the last day has not done so for 5 minutes: it is down,"
    " or cannot reach Elasticsearch. Detections that read Okta's events may see nothing meanwhile."
)
_NOTE = (
    "## What to do\n\n"
    "1. On the forwarder's machine: `forwarder doctor`. It names what is wrong, and the command that fixes it.\n"
    "2. Section ForwarderDown of docs/runbook.md if the process is gone, ForwarderSinkDown if it runs.\n"
    "3. What Okta sent meanwhile is in the forwarder's store, or comes by the System Log once it runs again.\n\n"
    "Remove a forwarder for good? The rule forgets it after a day."
)


def rule() -> dict[str, Any]:
    """The rule, as one line of a file that Kibana imports under *Security → Rules*."""
    return {
        "actions": [],
        "author": ["okta-forwarder"],
        "description": _DESCRIPTION,
        "enabled": True,
        "exceptions_list": [],
        "false_positives": ["The forwarder was removed, renamed, or `ops.heartbeat` was turned off."],
        "from": "now-24h",
        "interval": "5m",
        "language": "esql",
        "license": "Apache-2.0",
        "max_signals": 100,
        "name": "Okta forwarder: no heartbeat for 5 minutes",
        "note": _NOTE,
        "query": RULE_QUERY,
        "references": [],
        "risk_score": 73,
        "risk_score_mapping": [],
        "rule_id": "okta-forwarder-no-heartbeat",
        "setup": "Set `ops.heartbeat: 60s` in the forwarder and run `forwarder setup elasticsearch`.",
        "severity": "high",
        "severity_mapping": [],
        "tags": ["Okta", "okta-forwarder", "Data Source: okta-forwarder"],
        "threat": [],
        # One alert for each silent forwarder within a day, not one each run.
        "alert_suppression": {
            "group_by": ["host.name", "data_stream.namespace"],
            "duration": {"value": 1, "unit": "d"},
            "missing_fields_strategy": "suppress",
        },
        "to": "now",
        "type": "esql",
        "version": 1,
    }
