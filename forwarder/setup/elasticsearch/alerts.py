"""What setup writes for the data stream of alerts: a component template and an index template beside those of the events.

The ingest pipeline is that of the events: alerts have a source and a user agent as well.
"""

from forwarder.ecs.alert import ALERT_DATASET, ALERT_MODULE
from forwarder.setup.elasticsearch import bodies, fields
from forwarder.setup.elasticsearch.bodies import Body, Capabilities, Retention

PATTERN = f"logs-{ALERT_DATASET}-*"
NAME = f"{bodies.OWNER}-alerts"
COMPONENT = f"{NAME}@mappings"
CUSTOM = f"{NAME}@custom"
"""The operator's own component template, used if it exists."""

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
_OWN: dict[str, str] = {
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
_VALUES = {"data_stream.type": "logs", "data_stream.dataset": ALERT_DATASET}
_VALUES |= {"event.module": ALERT_MODULE, "event.dataset": ALERT_DATASET}


def types() -> dict[str, str]:
    """Return the type of each field of an alert's document by its dotted name."""
    shared = {name: kind for name, kind in fields.types().items() if name.partition(".")[0] in _ROOTS}
    return shared | _OWN


def component_template(has: Capabilities, retention: Retention) -> Body:
    """Build the mapping and the settings of every backing index of alerts."""
    mappings = fields.mapped(types(), has.missing_types, _VALUES)
    return bodies.component_body(mappings, has, retention)


def index_template(has: Capabilities, retention: Retention) -> Body:
    """Build the template that creates `logs-okta_forwarder.alert-*` data streams with that mapping."""
    return bodies.template_body(PATTERN, COMPONENT, CUSTOM, has, retention)
