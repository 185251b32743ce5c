"""One host of an Elasticsearch cluster, as the client library's transport asks for it.

The library's own nodes are not used, because for a security event they do too much or too little:

- aiohttp's follows redirects, even to plain HTTP, and sends a request again by itself when a kept connection breaks;
- httpx's takes a proxy from the environment, knows no IPv6 address, and in version 8 forgets the path of the address;
- both turn every body into text for a debug line that nobody reads, on the event loop (`repr` for a compressed one).
"""

from typing import Any, NamedTuple

import elastic_transport
import httpx
from elastic_transport.client_utils import DEFAULT


class Answer(NamedTuple):
    """What came back, whatever its status."""

    meta: elastic_transport.ApiResponseMeta
    body: bytes


class Node(elastic_transport.BaseAsyncNode):
    """Sends a request once to where it is told to, and gives whatever is answered."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        self._client = httpx.AsyncClient(
            verify=config.ssl_context or False,
            timeout=config.request_timeout,
            follow_redirects=False,
            trust_env=False,  # a stray HTTPS_PROXY must not change where the events go
        )

    async def perform_request(  # type: ignore[override]  # the library's own async nodes differ in the same way
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: elastic_transport.HttpHeaders | None = None,
        request_timeout: Any = DEFAULT,
    ) -> Answer:
        """Send one request.

        Args:
            method: of HTTP.
            target: path and query.
            body: as it goes over the wire.
            headers: in addition to the node's own.
            request_timeout: seconds without a byte; None for no limit.

        Raises:
            elastic_transport.ConnectionTimeout: no answer in time.
            elastic_transport.ConnectionError: no answer for another reason; its cause says which.
        """
        timeout = self.config.request_timeout if request_timeout is DEFAULT else request_timeout
        try:
            answer = await self._client.request(
                method,
                self.base_url + target,
                content=body,
                headers={**self.headers, **(headers or {})},
                timeout=timeout,
            )
        except httpx.TimeoutException as error:
            raise elastic_transport.ConnectionTimeout(f"no answer within {timeout} s") from error
        except httpx.RequestError as error:
            raise elastic_transport.ConnectionError(f"no answer from {self.base_url}") from error
        received = elastic_transport.HttpHeaders(answer.headers)
        received.pop("warning", None)  # the client would raise a Python warning for it, which may be an error
        meta = elastic_transport.ApiResponseMeta(
            status=answer.status_code,
            http_version="1.1",
            headers=received,
            duration=answer.elapsed.total_seconds(),
            node=self.config,
        )
        return Answer(meta, answer.content)

    async def close(self) -> None:  # type: ignore[override]  # as above
        """Close the connections."""
        await self._client.aclose()
