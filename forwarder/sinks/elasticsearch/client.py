"""Creates the client of an Elasticsearch cluster, for the sink and for the command `forwarder setup`."""

import base64
import json
import ssl
from collections.abc import Mapping
from typing import Any

import elastic_transport
import msgspec
from elasticsearch import AsyncElasticsearch

from forwarder import logs, tls
from forwarder.sinks.elasticsearch.connection import Node
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings


class _Encoded(elastic_transport.Serializer):
    """A serializer that does not change the body of a request, because the body is encoded already. The client's own
    serializer would add a line break, which damages a gzip stream."""

    mimetype = "application/x-ndjson"

    def dumps(self, data: Any) -> bytes:
        return bytes(data)


class _JsonOrText(elastic_transport.JsonSerializer):
    """A serializer that decodes a response as JSON, or as text if the response is not valid JSON.

    Some proxies send error pages with the content type of JSON. For such a page, the client's own serializer would
    raise an error that hides the status of the response.

    An object that has a key twice becomes None, because it may say two things, such as that an event was stored and
    that it was not.
    """

    def loads(self, data: bytes) -> Any:
        try:
            value = msgspec.json.decode(data)
            # Elasticsearch writes compact JSON, so nearly all of its responses pass this check. It takes a tenth of the
            # time of `json.loads`.
            if msgspec.json.encode(value) != data:
                value = json.loads(data, object_pairs_hook=_unambiguous)
        except (ValueError, RecursionError):  # MsgspecError and UnicodeDecodeError are ValueErrors
            return data.decode(errors="replace")
        return value


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


def connect(
    settings: ElasticsearchSinkSettings, timeout: float, headers: Mapping[str, str] | None = None
) -> AsyncElasticsearch:
    """Return a new client of the cluster in `settings`. The client sends each request once, to one host of the cluster.

    A request fails if its response is not complete after `timeout` seconds. The next request then goes to another host.
    `headers` are added to each request.

    Raises:
        OSError: `ca_file` cannot be used.
    """
    responses = _JsonOrText()
    return AsyncElasticsearch(
        list(settings.hosts),
        node_class=Node,
        ssl_context=_tls_context(settings),
        request_timeout=timeout,
        max_retries=0,
        retry_on_timeout=False,
        serializers={
            _Encoded.mimetype: _Encoded(),
            "application/json": responses,
            "application/*": responses,
            "text/*": responses,
        },
        headers=headers or {},
        **_credentials(settings),
    )


def _tls_context(settings: ElasticsearchSinkSettings) -> ssl.SSLContext | None:
    if not settings.uses_tls:
        return None
    context = tls.client_context(settings.ca_file)
    if not settings.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        logs.get("sinks").warning(
            "the server's certificate is not verified",
            action="certificate_not_verified",
            hosts=settings.hosts,
            hint="set `ca_file` instead of `verify_certificate: false`",
        )
    return context


def _credentials(settings: ElasticsearchSinkSettings) -> dict[str, Any]:
    if settings.api_key:
        key = settings.api_key.reveal()
        name, colon, rest = key.partition(":")
        return {"api_key": (name, rest) if colon else key}
    if settings.basic_auth:
        # Encoded here, because the client accepts only ASCII.
        pair = f"{settings.basic_auth.username}:{settings.basic_auth.password.reveal()}"
        return {"basic_auth": base64.b64encode(pair.encode()).decode()}
    return {}
