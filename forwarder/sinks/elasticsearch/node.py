"""One host of an Elasticsearch cluster, as the transport of the client library needs it.

The library's own nodes are not used, because for security events they do too much or too little:

- the aiohttp node follows redirects, even to plain HTTP, and sends a request again by itself if a kept
  connection breaks;
- the httpx node uses a proxy of the environment, accepts no IPv6 address, and in version 8 forgets the path
  of the URL;
- both turn every body into text on the event loop (`repr` for a compressed one), for a debug line that no one
  reads.
"""

from typing import Any, NamedTuple

import elastic_transport
import httpx
from elastic_transport.client_utils import DEFAULT


class Response(NamedTuple):
    """A response with any status."""

    meta: elastic_transport.ApiResponseMeta
    body: bytes


class Node(elastic_transport.BaseAsyncNode):
    """Sends a request once, to the configured host only, and returns any response."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        self._client = httpx.AsyncClient(
            verify=config.ssl_context or False,
            timeout=config.request_timeout,
            follow_redirects=False,
            trust_env=False,  # a stray HTTPS_PROXY must not change where the events go
        )

    async def perform_request(  # type: ignore[override]  # as the library's own async nodes
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: elastic_transport.HttpHeaders | None = None,
        request_timeout: Any = DEFAULT,
    ) -> Response:
        """Send one request.

        `request_timeout` is in seconds without a byte; None means no limit.

        Raises:
            elastic_transport.ConnectionTimeout: no response in time.
            elastic_transport.ConnectionError: no response for another reason; its cause says which.
        """
        timeout = self.config.request_timeout if request_timeout is DEFAULT else request_timeout
        try:
            response = await self._client.request(
                method,
                self.base_url + target,
                content=body,
                headers={**self.headers, **(headers or {})},
                timeout=timeout,
            )
        except httpx.TimeoutException as error:
            raise elastic_transport.ConnectionTimeout(f"no response within {timeout} s") from error
        except httpx.RequestError as error:
            raise elastic_transport.ConnectionError(f"no response from {self.base_url}") from error
        received = elastic_transport.HttpHeaders(response.headers)
        received.pop("warning", None)  # the client would raise a Python warning for it, which may be an error
        meta = elastic_transport.ApiResponseMeta(
            status=response.status_code,
            http_version="1.1",
            headers=received,
            duration=response.elapsed.total_seconds(),
            node=self.config,
        )
        return Response(meta, response.content)

    async def close(self) -> None:  # type: ignore[override]  # as above
        """Close the connections."""
        await self._client.aclose()
