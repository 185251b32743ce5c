"""The HTTP connection to one host of an Elasticsearch cluster (a node class for the client library), and its error
texts.

The library has its own node classes, but these are not suitable for security events:

- The node class for aiohttp follows redirects, even to plain HTTP. It also sends a request again by itself if a
  connection that was kept open breaks.
- The node class for httpx has three drawbacks: it uses the proxy of the environment, it does not accept IPv6 addresses,
  and in version 8 it drops the path of the URL.
- Both node classes convert each body to text for a debug log line (a compressed body by `repr`). The conversion blocks
  the event loop.
- Both node classes read and inflate responses of any size. They wait without limit while single bytes arrive.
"""

import asyncio
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any, NamedTuple

import elastic_transport
import httpx
from elastic_transport.client_utils import DEFAULT

from forwarder.connection_errors import CA_FILE, NO_COOKIES, error_chain, no_connection, why_unreachable
from forwarder.core.bounded_body import BodyEncodingError, BodyTooLargeError
from forwarder.interim_responses import limit_interim_responses
from forwarder.response_bodies import read_whole

LIMIT = 3 * 1024 * 1024
"""The maximum size of an inflated response in bytes. A response with 5,000 items that all have an error has about 2
MiB. In the worst case, the decoded JSON takes 25 times as much memory."""

_READ_TYPES = ("application/", "text/")
"""The beginnings of the content types that the client can decode. The client decodes a body without a content type as
JSON or text."""


_CLOSE = {"connection": "close"}
"""The headers of the request after a refused request, so that the host name is resolved again. Otherwise, if another
server has replaced a server that refuses requests, the old server would still get all requests."""


class TooLargeError(elastic_transport.TransportError):
    """The response is larger than `LIMIT`."""


class NodeResponse(NamedTuple):
    """The HTTP response of a node, with any status."""

    meta: elastic_transport.ApiResponseMeta
    body: bytes


class Node(elastic_transport.BaseAsyncNode):
    """Sends a request once, to the configured host only, and returns any response."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        client = httpx.AsyncClient(
            verify=config.ssl_context or False,
            timeout=config.request_timeout,
            follow_redirects=False,
            cookies=CookieJar(NO_COOKIES),
            trust_env=False,  # a variable such as HTTPS_PROXY must not change where the events go
        )
        self._client = limit_interim_responses(client)
        self._last_headers: Mapping[str, str] = {}  # these headers override all other headers of the next request

    async def perform_request(  # type: ignore[override]  # as the library's own async nodes
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: elastic_transport.HttpHeaders | None = None,
        request_timeout: Any = DEFAULT,
    ) -> NodeResponse:
        """Send one request, and return its response with any status.

        `request_timeout` is the maximum number of seconds from the start of the request to the end of the response;
        None means no limit. The connection may take half of this time.

        Raises:
            elastic_transport.ConnectionTimeout: the host accepted a connection, but no complete response arrived in time.
            elastic_transport.ConnectionError: no complete response arrived, for another reason. The text of the error
                says what to do.
            TooLargeError: the response is too large.
            elastic_transport.TransportError: the response cannot be inflated.
        """
        timeout = self.config.request_timeout if request_timeout is DEFAULT else request_timeout
        connect_timeout = None if timeout is None else timeout / 2
        request = self._client.build_request(
            method,
            self.base_url + target,
            content=body,
            # `identity` asks for an uncompressed response, but a proxy may still compress the response.
            headers={"accept-encoding": "identity", **self.headers, **(headers or {}), **self._last_headers},
            timeout=httpx.Timeout(timeout, connect=connect_timeout),
        )
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.send(request, stream=True)
                try:
                    content = await _content(response)
                finally:
                    await response.aclose()
                    del response.stream  # otherwise a reference cycle keeps the request's body in memory
        except httpx.ConnectTimeout as error:
            text = no_connection(connect_timeout or 0, "`hosts`")
            raise elastic_transport.ConnectionError(f"{self.base_url}: {text}") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise elastic_transport.ConnectionTimeout(f"{self.base_url}: no response within {timeout:g} s") from error
        except httpx.RequestError as error:
            raise elastic_transport.ConnectionError(f"{self.base_url}: {_unreachable(self.base_url, error)}") from error
        self._last_headers = {} if response.is_success else _CLOSE
        return NodeResponse(self._meta(response), content)

    def _meta(self, response: httpx.Response) -> elastic_transport.ApiResponseMeta:
        return elastic_transport.ApiResponseMeta(
            status=response.status_code,
            http_version="1.1",
            headers=_headers(response),
            duration=response.elapsed.total_seconds(),
            node=self.config,
        )

    async def close(self) -> None:  # type: ignore[override]  # as above
        """Close the connections."""
        await self._client.aclose()


def _headers(response: httpx.Response) -> elastic_transport.HttpHeaders:
    """Return the headers of `response`, without the headers that would make the client raise an exception."""
    received = elastic_transport.HttpHeaders(response.headers)
    received.pop("warning", None)  # the client makes a Python warning of this header, which may be raised as an error
    if not str(received.get("content-type", "")).startswith(_READ_TYPES):
        received.pop("content-type", None)  # the client would raise an error that hides the status
    return received


async def _content(response: httpx.Response) -> bytes:
    """Return the body of `response`, inflated if it is compressed by gzip.

    Raises:
        TooLargeError: the body is larger than `LIMIT`.
        elastic_transport.TransportError: the body cannot be inflated.
    """
    try:
        return await read_whole(response, LIMIT)
    except BodyTooLargeError as error:
        raise TooLargeError(f"the response cannot be read: {error}") from None
    except BodyEncodingError as error:
        raise elastic_transport.TransportError(f"the response cannot be read: {error}") from None


def _unreachable(url: str, error: BaseException) -> str:
    """Return an error text for a request that raised `error`. The text names the cause, and what an operator should do.
    `url` is the URL of the host."""
    for cause in error_chain(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS failed ({cause.reason or cause}); if this port speaks plain HTTP, write `http://` in `hosts`"
        if isinstance(cause, httpx.RemoteProtocolError) and url.startswith("http:"):
            return f"{str(cause).rstrip('.')}; if this port expects TLS, write `https://` in `hosts`"
    return "; ".join(why_unreachable(error, "`hosts`", CA_FILE))
