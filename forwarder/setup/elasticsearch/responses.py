"""The parts of Elasticsearch's responses that we read.

Another server, or a proxy, may answer in place of Elasticsearch. So each response is converted to one of these types; a
response of another form is an error that names the request.
"""

from typing import Any, TypeVar

import msgspec

from forwarder.core.errors import SetupError

T = TypeVar("T")


class _Version(msgspec.Struct, frozen=True):
    number: str


class About(msgspec.Struct, frozen=True):
    """The response to `GET /`."""

    version: _Version


class Privileges(msgspec.Struct, frozen=True):
    """The response to `_has_privileges`.

    `cluster` says for each cluster privilege whether the credentials have it. `index` says for each index pattern and
    each index privilege whether the credentials have it.
    """

    has_all_requested: bool
    cluster: dict[str, bool] = {}
    index: dict[str, dict[str, bool]] = {}


class ApiKey(msgspec.Struct, frozen=True):
    """An API key. `expiration` is in milliseconds since 1970; None if the key does not expire."""

    id: str
    name: str | None = None
    expiration: int | float | None = None


class Identity(msgspec.Struct, frozen=True):
    """The response to `_authenticate`. The user is the owner of the API key, if there is a key."""

    username: str
    api_key: ApiKey | None = None


class ApiKeys(msgspec.Struct, frozen=True):
    """The response to `GET _security/api_key`."""

    api_keys: list[ApiKey]


class _Processor(msgspec.Struct, frozen=True):
    type: str


class _Ingest(msgspec.Struct, frozen=True):
    processors: list[_Processor]


class _Node(msgspec.Struct, frozen=True):
    roles: tuple[str, ...] = ("ingest",)
    ingest: _Ingest | None = None


class Nodes(msgspec.Struct, frozen=True):
    """The response to `GET _nodes/ingest`."""

    nodes: dict[str, _Node] = {}


class TemplatePart(msgspec.Struct, frozen=True):
    """The part of a template that each new index gets. The keys of `settings` are dotted names."""

    settings: dict[str, Any] = {}


class IndexTemplate(msgspec.Struct, frozen=True, rename={"meta": "_meta"}):
    """The parts of an index template that decide whether this template creates a data stream."""

    index_patterns: list[str]
    priority: int | None = None
    meta: dict[str, Any] | None = None
    template: TemplatePart = TemplatePart()


class _NamedTemplate(msgspec.Struct, frozen=True):
    name: str
    index_template: IndexTemplate


class Templates(msgspec.Struct, frozen=True):
    """The response to `GET _index_template`."""

    index_templates: list[_NamedTemplate]


Body = dict[str, Any]


class _StoredIndexTemplate(msgspec.Struct, frozen=True):
    index_template: Body


class StoredIndexTemplates(msgspec.Struct, frozen=True):
    """The response to `GET _index_template/<name>`, with whole bodies."""

    index_templates: list[_StoredIndexTemplate]


class _StoredComponentTemplate(msgspec.Struct, frozen=True):
    component_template: Body


class StoredComponentTemplates(msgspec.Struct, frozen=True):
    """The response to `GET _component_template/<name>`, with whole bodies."""

    component_templates: list[_StoredComponentTemplate]


Pipelines = dict[str, Body]
"""The response to `GET _ingest/pipeline/<name>`, by name."""


class _DataStream(msgspec.Struct, frozen=True):
    backing_indices: list[str]


class Resolved(msgspec.Struct, frozen=True):
    """The response to `_resolve/index`: the indices, aliases and data streams that have the requested name or match
    it."""

    indices: list[Any] = []
    aliases: list[Any] = []
    data_streams: list[_DataStream] = []


class _IndexMappings(msgspec.Struct, frozen=True):
    mappings: dict[str, Any] = {}


Mappings = dict[str, _IndexMappings]
"""The response to `GET <name>/_mapping`, by index."""


class _Type(msgspec.Struct, frozen=True):
    type: str | None = None


class _Field(msgspec.Struct, frozen=True):
    mapping: dict[str, _Type] = {}


class _IndexFields(msgspec.Struct, frozen=True):
    mappings: dict[str, _Field] = {}


FieldMappings = dict[str, _IndexFields]
"""The response to `GET <name>/_mapping/field/<fields>`, by index; an index has its fields by full name."""


class RolledOver(msgspec.Struct, frozen=True):
    """The response to `_rollover`."""

    new_index: str | None = None


class _Lifecycle(msgspec.Struct, frozen=True):
    data_retention: str | None = None


class _StreamLifecycle(msgspec.Struct, frozen=True):
    lifecycle: _Lifecycle = _Lifecycle()


class Lifecycles(msgspec.Struct, frozen=True):
    """The response to `GET _data_stream/<name>/_lifecycle`."""

    data_streams: list[_StreamLifecycle] = []


def read(body: Any, kind: type[T], what: str) -> T:
    """Return the response `body` as `kind`. `what` names the request, for the text of an error.

    Raises:
        SetupError: `body` has another form.
    """
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise SetupError(
            f"the response to {what} is not one of Elasticsearch ({error}): {excerpt(body)}; check the `hosts` of the sink:"
            " the address may be that of a proxy or of another server"
        ) from None


def excerpt(body: Any) -> str:
    """Return the start of a response in one line."""
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    return " ".join(text.split())[:200] or "(empty)"
