"""The cluster of a sink of kind `elasticsearch`, for what an operator's commands ask of it."""

from types import TracebackType
from typing import Any, Self

import elastic_transport
from elasticsearch import ApiError, UnsupportedProductError

from forwarder.core.errors import SinkError
from forwarder.core.ports import Reply
from forwarder.sinks.elasticsearch.client import connect, error_text
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

TIMEOUT = 60.0
"""Seconds without a byte; a template change waits for the whole cluster."""


class ElasticsearchAdmin:
    """`core.ports.Caller` for one cluster, with the sink's own hosts, trust and credentials. Use it as an
    async context manager."""

    def __init__(self, settings: ElasticsearchSinkSettings, timeout: float = TIMEOUT) -> None:
        """Args:
        settings: the operator's.
        timeout: seconds without a byte from a host.
        """
        self._hosts = settings.hosts
        self._client = connect(settings, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def call(self, method: str, path: str, body: Any = None) -> Reply:
        """Send one request.

        Args:
            method: of HTTP.
            path: path and query.
            body: encoded as JSON; None for none.

        Raises:
            SinkError: no answer, or not from Elasticsearch.
        """
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            answer = await self._client.perform_request(method, path, headers=headers, body=body)
        except UnsupportedProductError as error:
            raise SinkError(
                f"who answers at {self._hosts[0]} is not Elasticsearch (no X-Elastic-Product header)"
            ) from error
        except ApiError as error:
            return Reply(error.meta.status, error.body)
        except elastic_transport.TransportError as error:
            raise SinkError(f"no answer from {', '.join(self._hosts)}: {error_text(error)}") from error
        return Reply(answer.meta.status, answer.body)
