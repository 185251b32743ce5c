"""The data stream for alerts (ecs/alert.py), for which setup writes templates."""

from forwarder.ecs.alert import ALERT_DATASET, ALERT_MODULE
from forwarder.setup.elasticsearch.other_templates import OtherStream, shared

_ROOTS = {
    "@timestamp",
    "ecs",
    "data_stream",
    "event",
    "tags",
    "related",
    "user",
    "source",
    "client",
    "user_agent",
}
_FIELDS: dict[str, str] = {
    "message": "match_only_text",
    "event.action": "keyword",
    "event.severity": "long",
    "event.start": "date",
    "event.end": "date",
    "event.id": "keyword",
    "rule.id": "keyword",
    "rule.name": "keyword",
    "rule.reference": "keyword",
    "rule.ruleset": "keyword",
    "threat.framework": "keyword",
    "threat.tactic.id": "keyword",
    "threat.tactic.name": "keyword",
    "threat.tactic.reference": "keyword",
    "threat.technique.id": "keyword",
    "threat.technique.reference": "keyword",
    "threat.technique.subtechnique.id": "keyword",
    "threat.technique.subtechnique.reference": "keyword",
    f"{ALERT_MODULE}.matched": "long",
    f"{ALERT_MODULE}.count": "long",
    f"{ALERT_MODULE}.held_back": "long",
    f"{ALERT_MODULE}.window.start": "date",
    f"{ALERT_MODULE}.window.end": "date",
    f"{ALERT_MODULE}.window.seconds": "long",
    f"{ALERT_MODULE}.events": "keyword",
    f"{ALERT_MODULE}.code": "keyword",
    f"{ALERT_MODULE}.mode": "keyword",
    f"{ALERT_MODULE}.late": "boolean",
    f"{ALERT_MODULE}.group": "flattened",
    f"{ALERT_MODULE}.level": "keyword",
    f"{ALERT_MODULE}.kind": "keyword",
    f"{ALERT_MODULE}.org": "keyword",
    f"{ALERT_MODULE}.trigger.id": "keyword",
    f"{ALERT_MODULE}.trigger.action": "keyword",
}

STREAM = OtherStream("alerts", ALERT_DATASET, shared(_ROOTS) | _FIELDS)
