"""The templates that setup writes for data streams other than that of Okta's events, such as the one for alerts.

Each has a component template and an index template. All use the ingest pipeline of the events, which also fits these
documents: it adds to `source` and `user_agent` only if a document has them.
"""

from collections.abc import Iterable

import msgspec

from forwarder.ecs.alert import ALERT_MODULE
from forwarder.setup.elasticsearch import fields, template_bodies
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


def shared(roots: Iterable[str]) -> dict[str, str]:
    """Return name → type of those fields of event documents that are in `roots`, or below an object in `roots`.

    For example, the root `source` selects `source.ip`.
    """
    wanted = frozenset(roots)
    return {name: kind for name, kind in fields.types().items() if name.partition(".")[0] in wanted}
