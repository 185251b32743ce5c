"""The data stream for health documents (ecs/health_document.py), for which setup writes templates."""

from forwarder.ecs.alert import ALERT_MODULE
from forwarder.ecs.health_document import HEALTH_DATASET
from forwarder.setup.elasticsearch.other_templates import OtherStream

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

STREAM = OtherStream("health", HEALTH_DATASET, _FIELDS, kind="metrics")
