"""The data stream for documents about actions of reactions (ecs/action.py), for which setup writes templates."""

from forwarder.ecs.action import ACTION_DATASET
from forwarder.ecs.alert import ALERT_MODULE
from forwarder.setup.elasticsearch.other_templates import OtherStream, shared

_ACTION = f"{ALERT_MODULE}.action"
_FIELDS: dict[str, str] = {
    "message": "match_only_text",
    "event.id": "keyword",
    "event.action": "keyword",
    "event.outcome": "keyword",
    "event.reason": "keyword",
    "rule.id": "keyword",
    "rule.name": "keyword",
    f"{ALERT_MODULE}.org": "keyword",
    f"{ALERT_MODULE}.alert.id": "keyword",
    f"{ALERT_MODULE}.events": "keyword",
    **{
        f"{_ACTION}.{name}": kind
        for kind, names in {
            "keyword": "id key code kind mode state change answer waits_for request_id error_id parent end undone_by"
            " approval.why approval.by target.kind target.id target.name request.to request.method request.path",
            "match_only_text": "detail undone_why",
            "boolean": "late approval.given",
            "long": "attempts",
            "date": "due planned_at called_at seen_at undo_due undone_at approval.until approval.at",
            "flattened": "settings before after request.body",
        }.items()
        for name in names.split()
    },
}

STREAM = OtherStream(
    "actions",
    ACTION_DATASET,
    shared(["@timestamp", "ecs", "data_stream", "event", "tags", "related", "user", "source"]) | _FIELDS,
)
