"""Finds settings of sinks that work but are unwise, or with which the server will probably refuse every request."""

import base64
import binascii
import itertools
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from forwarder.config.hosts import is_loopback
from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.alert import EVENT_TYPE as ALERT_EVENT_TYPE
from forwarder.core.catalogue import EVENT_TYPES
from forwarder.placeholder_check import is_placeholder
from forwarder.settings import Settings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_OTLP_PORTS = {4317: "grpc", 4318: "http/protobuf"}
_OTHER_PORTS = {
    5601: "Kibana",
    8220: "Fleet Server",
    9300: "Elasticsearch's transport protocol",
    9600: "Logstash's API",
    5044: "Logstash's Beats input",
}
"""What usually listens at each of these ports, which operators mistake for Elasticsearch's HTTP port."""


def sink_warnings(settings: Settings) -> Iterator[str]:
    """Yield a line with path, reason and hint for each unwise setting of a sink."""
    for name, sink in settings.sinks.items():
        if sink.accepts and not any(map(sink.accepts, _types(settings))):
            key = "except" if sink.only is None else "only"
            yield f"sinks.{name}.{key}: leaves none of Okta's event types, so this sink gets no event"
        if isinstance(sink, ElasticsearchSinkSettings):
            yield from _elasticsearch_warnings(f"sinks.{name}", sink)
        elif isinstance(sink, OtlpSinkSettings):
            yield from _otlp_warnings(f"sinks.{name}.endpoint", sink)
        elif isinstance(sink, FileSinkSettings) and sink.max_files == 0:
            yield f"sinks.{name}.max_files: with 0, each file is removed when it is rotated, with all its events; write at least 1"
    yield from _same_target(settings)


def heartbeat_warnings(settings: Settings) -> Iterator[str]:
    """Yield a line if `ops.heartbeat` is set, but no sink gets its documents."""
    sinks = settings.sinks.values()
    if settings.ops.heartbeat and not any(isinstance(sink, ElasticsearchSinkSettings) for sink in sinks):
        yield (
            "ops.heartbeat: has no effect without a sink of kind elasticsearch; remove the setting, or add such a sink"
        )


def _types(settings: Settings) -> Iterator[str]:
    """Yield the types of all events that the store may contain."""
    yield from EVENT_TYPES
    if settings.rules.files:
        yield ALERT_EVENT_TYPE
    if settings.reactions.on:
        yield ACTION_EVENT_TYPE


def _elasticsearch_warnings(path: str, sink: ElasticsearchSinkSettings) -> Iterator[str]:
    remote = [host for host in sink.hosts if not is_loopback(urlsplit(host).hostname or "")]
    if remote and not sink.uses_tls:
        yield f"{path}.hosts: events and credentials cross the network unencrypted; use https://"
    if not sink.verify_certificate and sink.uses_tls:
        yield f"{path}.verify_certificate: anyone on the network path can read the events; set ca_file instead"
    for number, host in enumerate(sink.hosts):
        parts = urlsplit(host)
        other = _OTHER_PORTS.get(parts.port or 0)
        if ".kb." in f"{parts.hostname}" or parts.path.startswith("/app"):
            other = "Kibana"
        if other:
            yield f"{path}.hosts[{number}]: looks like the address of {other}; write that of Elasticsearch's HTTP API"
    if sink.api_key and not is_placeholder(sink.api_key) and not _is_api_key(sink.api_key.reveal()):
        yield (
            f"{path}.api_key: is neither id:key nor its encoded form, so Elasticsearch will refuse it; copy the value of `encoded` "
            "from the answer that created the key"
        )
    if sink.uses_tls and not sink.api_key and not sink.basic_auth:
        yield f"{path}: sends no credentials, so Elasticsearch will probably refuse every request; set `api_key` or `basic_auth`"


def _is_api_key(key: str) -> bool:
    if ":" in key or key.startswith("essu_"):  # a key of Elastic Cloud
        return True
    try:
        return re.fullmatch(rb"[!-9;-~]+:[!-~]+", base64.b64decode(key, validate=True)) is not None
    except (binascii.Error, ValueError):
        return False


def _otlp_warnings(path: str, sink: OtlpSinkSettings) -> Iterator[str]:
    parts = urlsplit(sink.endpoint)
    if not sink.uses_tls and not is_loopback(parts.hostname or ""):
        yield f"{path}: events and headers cross the network unencrypted; use https://"
    expected = _OTLP_PORTS.get(parts.port or 0, sink.protocol)
    if expected != sink.protocol:
        yield f"{path}: port {parts.port} is usually for {expected}; check `protocol`"
    if not parts.path.rstrip("/").endswith("/logs") and parts.path.strip("/"):
        yield (
            f"{path}: requests go to {parts.path}, because /v1/logs is added only to a URL without a path; most receivers need "
            f"{parts.path.rstrip('/')}/v1/logs"
        )


def _same_target(settings: Settings) -> Iterator[str]:
    """Yield a line for each sink that sends events to the same place as an earlier sink."""
    for (first, one), (second, other) in itertools.combinations(settings.sinks.items(), 2):
        if _targets(one).isdisjoint(_targets(other)):
            continue
        one_accepts, other_accepts = one.accepts or bool, other.accepts or bool
        if any(one_accepts(each) and other_accepts(each) for each in _types(settings)):
            yield f"sinks.{second}: sends events to the same place as sinks.{first} does; remove one of the two, or divide them by `only`"


def _targets(sink: Any) -> set[tuple[str, str]]:
    if isinstance(sink, ElasticsearchSinkSettings):
        return {(host.lower(), sink.data_stream) for host in sink.hosts}
    return {(sink.url.lower(), "")} if isinstance(sink, OtlpSinkSettings) else set()
