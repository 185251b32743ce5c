"""The connection to an Elasticsearch cluster, from an operator's settings: for events, and for setting it up."""

import ssl
from typing import Any

import elastic_transport
import msgspec
from elasticsearch import AsyncElasticsearch

from forwarder import logs
from forwarder.core.errors import SinkError
from forwarder.sinks.elasticsearch.node import Node
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings


class _Ready(elastic_transport.Serializer):
    """A body that is ready to be sent: the client's own serializer would add a line break to a gzip stream."""

    mimetype = "application/x-ndjson"

    def dumps(self, data: Any) -> bytes:
        return bytes(data)


class _Answers(elastic_transport.JsonSerializer):
    """JSON where there is some. The client's own one would hide the status of an answer that claims to be JSON and
    is none, as some proxies' error pages do."""

    def loads(self, data: bytes) -> Any:
        try:
            return msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return data.decode(errors="replace")


def connect(settings: ElasticsearchSinkSettings, timeout: float) -> AsyncElasticsearch:
    """The cluster's client, without credentials. It tries each request once, on one host.

    Args:
        settings: the operator's.
        timeout: seconds without a byte from a host before it is given up.

    Raises:
        SinkError: `ca_file` cannot be used.
    """
    answers = _Answers()
    return AsyncElasticsearch(
        list(settings.hosts),
        node_class=Node,
        ssl_context=_trust(settings),
        request_timeout=timeout,
        max_retries=0,
        retry_on_timeout=False,
        serializers={
            _Ready.mimetype: _Ready(),
            "application/json": answers,
            "application/*": answers,
            "text/*": answers,
        },
    )


def _trust(settings: ElasticsearchSinkSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    path = settings.ca_file
    try:
        context = ssl.create_default_context(cafile=path)
    except OSError as error:
        raise SinkError(f"ca_file {path} cannot be used: {error.strerror or error}") from error
    if not settings.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        logs.get("sinks").warning(
            "the server's certificate is not checked",
            action="certificate_not_verified",
            hosts=settings.hosts,
            hint="write ca_file in place of verify_certificate: false",
        )
    return context


def credentials(settings: ElasticsearchSinkSettings) -> dict[str, Any]:
    """Who we are, as options of the client; empty where the settings name nobody."""
    if settings.api_key:
        key = settings.api_key.reveal()
        name, colon, rest = key.partition(":")
        return {"api_key": (name, rest) if colon else key}
    if settings.basic_auth:
        return {"basic_auth": (settings.basic_auth.username, settings.basic_auth.password.reveal())}
    return {}


def causes(error: BaseException) -> str:
    """What failed, in the words of every layer that says something new: the innermost says why."""
    words: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        said = str(getattr(seen, "message", seen))
        if said and said not in words:
            words.append(said)
        seen = seen.__cause__ or seen.__context__
    return ": ".join(words)
