"""What setup writes for the data stream of health documents: a component template and an index template of their own."""

from forwarder.ecs.alert import ALERT_MODULE
from forwarder.ecs.health import HEALTH_DATASET
from forwarder.setup.elasticsearch import bodies, fields
from forwarder.setup.elasticsearch.bodies import Body, Capabilities, Retention

PATTERN = f"metrics-{HEALTH_DATASET}-*"
NAME = f"{bodies.OWNER}-health"
COMPONENT = f"{NAME}@mappings"
CUSTOM = f"{NAME}@custom"
"""The operator's own component template, used if it exists."""

_HEALTH = f"{ALERT_MODULE}.health"
_FIELDS: dict[str, str] = {
    "@timestamp": "date",
    "ecs.version": "keyword",
    "data_stream.type": "constant_keyword",
    "data_stream.dataset": "constant_keyword",
    "data_stream.namespace": "constant_keyword",
    "event.kind": "keyword",
    "event.module": "constant_keyword",
    "event.dataset": "constant_keyword",
    "event.outcome": "keyword",
    "event.ingested": "date",
    "host.name": "keyword",
    "service.name": "keyword",
    "service.type": "keyword",
    "service.version": "keyword",
    "message": "match_only_text",
    "tags": "keyword",
    **{
        f"{_HEALTH}.{name}": kind
        for kind, names in {
            "keyword": "verdict problems states orgs.name orgs.hook.state sinks.name sinks.state",
            "boolean": "ready balanced",
            "long": "uptime stored duplicates rejected store.bytes store.waiting_bytes store.max_bytes missed refused"
            " hooks_down waiting dead sinks_down orgs.refused orgs.missed sinks.delivered sinks.waiting sinks.dead",
            "double": "log_lag sink_lag orgs.accepted_ago orgs.log_lag sinks.lag",
        }.items()
        for name in names.split()
    },
}
_VALUES = {"data_stream.type": "metrics", "data_stream.dataset": HEALTH_DATASET}
_VALUES |= {"event.module": ALERT_MODULE, "event.dataset": HEALTH_DATASET}


def types() -> dict[str, str]:
    """Return the type of each field of a health document by its dotted name."""
    return dict(_FIELDS)


def component_template(has: Capabilities, retention: Retention) -> Body:
    """Build the mapping and the settings of every backing index of health documents."""
    mappings = fields.mapped(_FIELDS, has.missing_types, _VALUES)
    return bodies.component_body(mappings, has, retention)


def index_template(has: Capabilities, retention: Retention) -> Body:
    """Build the template that creates `metrics-okta_forwarder.health-*` data streams with that mapping."""
    template = bodies.template_body(PATTERN, COMPONENT, CUSTOM, has, retention)
    # The stack's parts are for logs.
    return template | {"composed_of": [COMPONENT, CUSTOM], "ignore_missing_component_templates": [CUSTOM]}
