"""Sends administrative requests to the cluster of an `elasticsearch` sink, such as changes of templates and pipelines."""

from types import TracebackType
from typing import Any, Self

import elastic_transport
import httpx
from elasticsearch import ApiError, UnsupportedProductError

from forwarder.core.errors import SinkError
from forwarder.setup.elasticsearch.cluster import ClusterResponse
from forwarder.sinks.elasticsearch.client import connect
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

TIMEOUT = 60.0
"""Seconds for a whole request. It is long, because a change of a template waits for all nodes of the cluster."""


class ElasticsearchAdmin:
    """A client for administrative requests that has the hosts, certificates and credentials of a sink.

    Use it as an async context manager.
    """

    def __init__(self, settings: ElasticsearchSinkSettings, timeout: float = TIMEOUT) -> None:
        """Create the client; the first call connects.

        Raises:
            SinkError: `ca_file` cannot be used.
        """
        self._hosts = settings.hosts
        self._client = connect(settings, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def call(self, method: str, path: str, body: Any = None) -> ClusterResponse:
        """Send a request once, and return its response with any status. If there is no connection to a host, try the
        next host.

        Raises:
            SinkError: there was no response, or it was not from Elasticsearch.
        """
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        hosts = len(self._hosts)
        while True:
            hosts -= 1
            try:
                return await self._send(method, path, headers, body)
            except elastic_transport.ConnectionError as error:
                never_sent = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
                if not never_sent or not hosts:
                    raise SinkError(f"no response from {error.message}") from error

    async def _send(self, method: str, path: str, headers: dict[str, str], body: Any) -> ClusterResponse:
        try:
            response = await self._client.perform_request(method, path, headers=headers, body=body)
        except UnsupportedProductError as error:
            raise SinkError(
                f"{self._hosts[0]} is not an Elasticsearch server: its response has no X-Elastic-Product header; "
                "check the `hosts` of the sink"
            ) from error
        except ApiError as error:
            return ClusterResponse(error.meta.status, error.body)
        except elastic_transport.ConnectionTimeout as error:
            text = f"no response from {error.message}"
            raise SinkError(f"{text}; check the `hosts` of the sink, and the firewalls on the way") from error
        except elastic_transport.ConnectionError:
            raise
        except elastic_transport.TransportError as error:
            raise SinkError(f"{', '.join(self._hosts)}: {error.message}") from error
        return ClusterResponse(response.meta.status, response.body)
