"""Our data streams for alerts, actions and health documents, and the templates that setup writes for them.

Each data stream has a component template and an index template. All use the ingest pipeline of the events, which also
fits these documents: it adds to `source` and `user_agent` only if a document has them.
"""

import msgspec

from forwarder.ecs.action import ACTION_DATASET
from forwarder.ecs.alert import ALERT_DATASET, ALERT_MODULE
from forwarder.ecs.health_document import HEALTH_DATASET
from forwarder.setup.elasticsearch import fields, template_bodies
from forwarder.setup.elasticsearch.fields import by_type
from forwarder.setup.elasticsearch.template_bodies import Body, Capabilities, Retention

_CONSTANT = ("data_stream.type", "data_stream.dataset", "event.module", "event.dataset")


class OtherStream(msgspec.Struct, frozen=True):
    """A data stream of the forwarder for other documents than Okta's events, such as alerts.

    Attributes:
        what: one word for the documents, such as "alerts". It is part of the names of the templates.
        dataset: the middle part of the name of the data stream.
        types: dotted name of a field → its type, for each field of the documents.
        kind: the first part of the name of the data stream.
    """

    what: str
    dataset: str
    types: dict[str, str]
    kind: str = "logs"

    @property
    def pattern(self) -> str:
        """The index pattern of the templates. It matches the data streams of all namespaces."""
        return f"{self.kind}-{self.dataset}-*"

    @property
    def name(self) -> str:
        """The name of the index template."""
        return f"{template_bodies.OWNER}-{self.what}"

    @property
    def component(self) -> str:
        """The name of the component template."""
        return f"{self.name}@mappings"

    @property
    def custom(self) -> str:
        """The name of a component template that the operator may create. It is used if it exists."""
        return f"{self.name}@custom"

    def component_template(self, has: Capabilities, retention: Retention) -> Body:
        """Build the component template, which has the mapping and the settings of every backing index."""
        values = dict(zip(_CONSTANT, (self.kind, self.dataset, ALERT_MODULE, self.dataset), strict=True))
        return template_bodies.component_body(
            fields.mapped(self.types, has.missing_types, values), has, retention
        )

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


def shared(roots: str) -> dict[str, str]:
    """Return name → type of those fields of event documents that are in `roots`, or below an object in `roots`.

    `roots` are separated by blanks. For example, the root `source` selects `source.ip`.
    """
    wanted = roots.split()
    return {name: kind for name, kind in fields.types().items() if name.partition(".")[0] in wanted}


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

ALERTS = OtherStream(
    "alerts",
    ALERT_DATASET,
    shared("@timestamp ecs data_stream event tags related user source client user_agent") | _ALERT_FIELDS,
)
"""The data stream for alerts (ecs/alert.py)."""

_ACTION_FIELDS = (
    by_type(
        {
            "match_only_text": "message",
            "keyword": "event.id event.action event.outcome event.reason rule.id rule.name",
        }
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

ACTIONS = OtherStream(
    "actions",
    ACTION_DATASET,
    shared("@timestamp ecs data_stream event tags related user source") | _ACTION_FIELDS,
)
"""The data stream for documents about actions of reactions (ecs/action.py)."""

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

HEALTH = OtherStream("health", HEALTH_DATASET, _HEALTH_FIELDS, kind="metrics")
"""The data stream for health documents (ecs/health_document.py)."""

OTHER_STREAMS = (ALERTS, ACTIONS, HEALTH)
"""Our data streams other than that of Okta's events."""
