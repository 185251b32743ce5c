"""The forwarder's data streams (Okta's events, alerts, actions, health documents), and the templates that setup writes.

Each data stream has a component template and an index template. All data streams use one ingest pipeline. The pipeline
adds fields to the objects `source` and `user_agent` of a document, but only if the document has these objects.
"""

from collections.abc import Iterable

import msgspec

from forwarder.ecs.action_document import ACTION_DATASET
from forwarder.ecs.alert_document import ALERT_DATASET, ALERT_MODULE
from forwarder.ecs.document import DATASET
from forwarder.ecs.health_document import HEALTH_DATASET
from forwarder.setup.elasticsearch import fields, template_bodies
from forwarder.setup.elasticsearch.fields import Mapping, by_type
from forwarder.setup.elasticsearch.template_bodies import Body, Capabilities, Retention


class DataStream(msgspec.Struct, frozen=True):
    """A data stream of the forwarder.

    Attributes:
        name: the name of the index template.
        dataset: the middle part of the name of the data stream.
        types: dotted name of a field → its type, for each field of the documents.
        kind: the first part of the name of the data stream, such as `logs`.
        module: the value of `event.module` in each document.
        free: the names of the objects in the documents that may have any keys.
    """

    name: str
    dataset: str
    types: dict[str, str]
    kind: str = "logs"
    module: str = ALERT_MODULE
    free: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """The index pattern of the templates. It matches the data streams of all namespaces."""
        return f"{self.kind}-{self.dataset}-*"

    @property
    def component(self) -> str:
        """The name of the component template."""
        return f"{self.name}@mappings"

    @property
    def custom(self) -> str:
        """The name of a component template that the operator may create. It is used if it exists."""
        return f"{self.name}@custom"

    def mapping(self, missing: Iterable[str] = ()) -> Mapping:
        """Return the mapping of the documents. `missing` has the field types that the server does not have."""
        values = {
            "data_stream.type": self.kind,
            "data_stream.dataset": self.dataset,
            "event.module": self.module,
            "event.dataset": self.dataset,
        }
        return fields.mapped(self.types, missing, values, self.free)

    def component_template(self, has: Capabilities, retention: Retention) -> Body:
        """Build the component template, which has the mapping and the settings of every backing index."""
        return template_bodies.component_body(self.mapping(has.missing_types), has, retention)

    def index_template(self, has: Capabilities, retention: Retention) -> Body:
        """Build the index template. Data streams that match `pattern` are created from it and the component template."""
        template = template_bodies.template_body(self.pattern, self.component, self.custom, has, retention)
        if self.kind == "logs":
            return template
        # The component templates that Elasticsearch has built in are for logs only.
        return template | {
            "composed_of": [self.component, self.custom],
            "ignore_missing_component_templates": [self.custom],
        }

    def fingerprint(self, has: Capabilities, retention: Retention) -> str | None:
        """Return the fingerprint of the mapping that a new backing index has."""
        template = self.component_template(has, retention)["template"]
        return template_bodies.fingerprint(template["mappings"]["_meta"])


def shared(roots: str) -> dict[str, str]:
    """Return name → type for the fields of event documents whose names begin with one of `roots`.

    A root is the first part of a dotted name: the root `source` selects `source.ip`. `roots` are separated by blanks.
    """
    wanted = roots.split()
    return {name: kind for name, kind in fields.types().items() if name.partition(".")[0] in wanted}


EVENTS = DataStream(template_bodies.NAME, DATASET, fields.types(), module="okta", free=fields.FREE_OBJECTS)
"""The data stream for Okta's events (ecs/document.py)."""

_ALERT_FIELDS = by_type(
    {
        "match_only_text": "message",
        "keyword": "event.action event.id rule.id rule.name rule.reference rule.ruleset threat.framework"
        " threat.tactic.id threat.tactic.name threat.tactic.reference threat.technique.id threat.technique.reference"
        " threat.technique.subtechnique.id threat.technique.subtechnique.reference",
        "long": "event.severity",
        "date": "event.start event.end",
    }
) | by_type(
    {
        "long": "matched count held_back window.seconds",
        "date": "window.start window.end",
        "keyword": "events code mode level kind org trigger.id trigger.action",
        "boolean": "late",
        "flattened": "group",
    },
    f"{ALERT_MODULE}.",
)

ALERTS = DataStream(
    f"{template_bodies.NAME}-alerts",
    ALERT_DATASET,
    shared("@timestamp ecs data_stream event tags related user source client user_agent") | _ALERT_FIELDS,
)
"""The data stream for alerts (ecs/alert_document.py)."""

_ACTION_FIELDS = (
    by_type(
        {"match_only_text": "message", "keyword": "event.id event.action event.outcome event.reason rule.id rule.name"}
    )
    | by_type({"keyword": "org alert.id events"}, f"{ALERT_MODULE}.")
    | by_type(
        {
            "keyword": "id key code kind mode state change answer waits_for request_id error_id parent end undone_by"
            " approval.why approval.by target.kind target.id target.name request.to request.method request.path",
            "match_only_text": "detail undone_why",
            "boolean": "late approval.given",
            "long": "attempts",
            "date": "due planned_at called_at seen_at undo_due undone_at approval.until approval.at",
            "flattened": "settings before after request.body",
        },
        f"{ALERT_MODULE}.action.",
    )
)

ACTIONS = DataStream(
    f"{template_bodies.NAME}-actions",
    ACTION_DATASET,
    shared("@timestamp ecs data_stream event tags related user source") | _ACTION_FIELDS,
)
"""The data stream for documents about actions of reactions (ecs/action_document.py)."""

_HEALTH_FIELDS = by_type(
    {
        "date": "@timestamp event.ingested",
        "constant_keyword": "data_stream.type data_stream.dataset data_stream.namespace event.module event.dataset",
        "keyword": "ecs.version event.kind event.outcome host.name service.name service.type service.version tags",
        "match_only_text": "message",
    }
) | by_type(
    {
        "keyword": "verdict problems states orgs.name orgs.hook.state sinks.name sinks.state",
        "boolean": "ready balanced",
        "long": "uptime stored duplicates rejected store.bytes store.waiting_bytes store.max_bytes missed refused"
        " hooks_down waiting dead sinks_down orgs.refused orgs.missed sinks.delivered sinks.waiting sinks.dead",
        "double": "log_lag sink_lag orgs.accepted_ago orgs.log_lag sinks.lag",
    },
    f"{ALERT_MODULE}.health.",
)

HEALTH = DataStream(f"{template_bodies.NAME}-health", HEALTH_DATASET, _HEALTH_FIELDS, kind="metrics")
"""The data stream for health documents (ecs/health_document.py)."""

OTHER_STREAMS = (ALERTS, ACTIONS, HEALTH)
"""Our data streams other than that of Okta's events."""

DATA_STREAMS = (EVENTS, *OTHER_STREAMS)
