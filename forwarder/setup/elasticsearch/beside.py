"""What setup writes for a data stream beside that of the events: a component template and an index template.

The ingest pipeline is that of the events: these documents have a source and a user agent as well, or nothing
for it.
"""

from collections.abc import Iterable

import msgspec

from forwarder.ecs.alert import ALERT_MODULE
from forwarder.setup.elasticsearch import bodies, fields
from forwarder.setup.elasticsearch.bodies import Body, Capabilities, Retention

_CONSTANT = ("data_stream.type", "data_stream.dataset", "event.module", "event.dataset")


class BesideStream(msgspec.Struct, frozen=True):
    """A data stream of the forwarder for other documents than Okta's events, such as alerts.

    Attributes:
        what: the documents in one word, which the names of the templates contain.
        dataset: the middle part of the name of the data stream.
        types: the type of each field of the documents, by the dotted name of the field.
        kind: the first part of the name of the data stream.
    """

    what: str
    dataset: str
    types: dict[str, str]
    kind: str = "logs"

    @property
    def pattern(self) -> str:
        """The index pattern of these data streams, one for each namespace."""
        return f"{self.kind}-{self.dataset}-*"

    @property
    def name(self) -> str:
        """The name of the index template."""
        return f"{bodies.OWNER}-{self.what}"

    @property
    def component(self) -> str:
        """The name of the component template."""
        return f"{self.name}@mappings"

    @property
    def custom(self) -> str:
        """The name of the operator's own component template, used if it exists."""
        return f"{self.name}@custom"

    def component_template(self, has: Capabilities, retention: Retention) -> Body:
        """Build the component template: the mapping and the settings of every backing index."""
        values = dict(zip(_CONSTANT, (self.kind, self.dataset, ALERT_MODULE, self.dataset), strict=True))
        return bodies.component_body(fields.mapped(self.types, has.missing_types, values), has, retention)

    def index_template(self, has: Capabilities, retention: Retention) -> Body:
        """Build the index template, which creates data streams of `pattern` with the component template."""
        template = bodies.template_body(self.pattern, self.component, self.custom, has, retention)
        if self.kind == "logs":
            return template
        # The stack's parts are for logs.
        return template | {
            "composed_of": [self.component, self.custom],
            "ignore_missing_component_templates": [self.custom],
        }


def shared(roots: Iterable[str]) -> dict[str, str]:
    """Return the type of each field of event documents that is below one of `roots`, as in `source`."""
    wanted = frozenset(roots)
    return {name: kind for name, kind in fields.types().items() if name.partition(".")[0] in wanted}
