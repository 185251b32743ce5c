"""What setup writes for a data stream beside that of the events: a component template and an index template.

The ingest pipeline is that of the events: these documents have a source and a user agent as well, or nothing for it.
"""

from collections.abc import Iterable

import msgspec

from forwarder.ecs.alert import ALERT_MODULE
from forwarder.setup.elasticsearch import bodies, fields
from forwarder.setup.elasticsearch.bodies import Body, Capabilities, Retention

_CONSTANT = ("data_stream.type", "data_stream.dataset", "event.module", "event.dataset")


class BesideStream(msgspec.Struct, frozen=True):
    """A data stream of ours that is not that of the events.

    Attributes:
        what: its documents, in one word, as in the names of its templates.
        dataset: the middle part of its name.
        types: the type of each field of its documents, by its dotted name.
        kind: the first part of its name.
    """

    what: str
    dataset: str
    types: dict[str, str]
    kind: str = "logs"

    @property
    def pattern(self) -> str:
        """Names of such data streams."""
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
        """Build the mapping and the settings of every backing index."""
        values = dict(zip(_CONSTANT, (self.kind, self.dataset, ALERT_MODULE, self.dataset), strict=True))
        return bodies.component_body(fields.mapped(self.types, has.missing_types, values), has, retention)

    def index_template(self, has: Capabilities, retention: Retention) -> Body:
        """Build the template that creates data streams of this pattern with that mapping."""
        template = bodies.template_body(self.pattern, self.component, self.custom, has, retention)
        if self.kind == "logs":
            return template
        # The stack's parts are for logs.
        return template | {
            "composed_of": [self.component, self.custom],
            "ignore_missing_component_templates": [self.custom],
        }


def shared(roots: Iterable[str]) -> dict[str, str]:
    """Return the types of those fields of the events' documents that are below one of `roots`."""
    wanted = frozenset(roots)
    return {name: kind for name, kind in fields.types().items() if name.partition(".")[0] in wanted}
