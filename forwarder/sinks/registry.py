"""The kinds of sinks, with the settings class and the builder of each kind.

To add a kind, add its settings class to `AnySinkSettings` and `SETTINGS`, and its builder to `_BUILDERS`. A builder
imports the class of the sink only when the builder is called. So the libraries of a kind that is not configured are
never loaded.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from forwarder.core.errors import SinkError
from forwarder.core.ports import Clock, Sink
from forwarder.sink_settings import SinkSettings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings

AnySinkSettings = Annotated[
    ElasticsearchSinkSettings | FileSinkSettings | OtlpSinkSettings, Field(discriminator="kind")
]

SETTINGS: dict[str, type[SinkSettings]] = {
    settings.model_fields["kind"].default: settings
    for settings in (ElasticsearchSinkSettings, FileSinkSettings, OtlpSinkSettings)
}
"""The settings class of each kind of sink."""


def _elasticsearch(_name: str, settings: ElasticsearchSinkSettings, clock: Clock) -> Sink:
    from forwarder.sinks.elasticsearch.sink import ElasticsearchSink

    return ElasticsearchSink(settings, clock)


def _file(name: str, settings: FileSinkSettings, clock: Clock) -> Sink:
    from forwarder.sinks.file.sink import FileSink

    return FileSink(name, settings, clock)


def _otlp(name: str, settings: OtlpSinkSettings, clock: Clock) -> Sink:
    from forwarder.sinks.otlp.sink import OtlpSink

    return OtlpSink(name, settings, clock)


_BUILDERS: dict[str, Callable[[str, Any, Clock], Sink]] = {
    "elasticsearch": _elasticsearch,
    "file": _file,
    "otlp": _otlp,
}


def build(name: str, settings: SinkSettings, clock: Clock) -> Sink:
    """Return a new sink with the name `name` and the settings `settings`.

    Raises:
        SinkError: a file in the settings cannot be used, or another process writes to the file of a `file` sink.
    """
    for key, problem in settings.file_problems():  # a file may have changed since the configuration was read
        raise SinkError(f"sinks.{name}.{key}: {problem}")
    sink = _BUILDERS[settings.kind](name, settings, clock)
    if not settings.redact:
        return sink
    from forwarder.sinks.redacted_fields import RedactingSink

    return RedactingSink(sink, settings.redact)
