"""The HTTP client that we give to the SDK in place of the SDK's own client.

The SDK's own client sends the credentials also to the target of a redirect, and logs whole requests with their
credentials at DEBUG. It opens a connection per call, reads bodies of any size, and returns bodies only as text.
"""

import asyncio
from functools import cache, partial
from importlib import import_module
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from forwarder.connection_errors import why_unreachable
from forwarder.core.bounded_body import BodyEncodingError, BodyTooLargeError, BoundedBody
from forwarder.core.time import from_http_date
from forwarder.interim_responses import InterimFilter, TooManyInterimError
from forwarder.okta.api.errors import NoResponseError
from forwarder.okta.api.metrics import ApiMetrics
from forwarder.okta.api.port import Response
from forwarder.okta.api.rate_limits import RateLimits
from forwarder.okta.api.urls import links_of

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105  # a path, not a secret

PROXIES = "check the org's `url`, and the proxies on the way"
"""The hint for a response that Okta itself did not send, or not whole."""

_LOG_PATH = "/api/v1/logs"
_MAX_PAGE = 16 << 20
"""Maximum bytes of a page of the System Log: 1,000 events of 16 kB. An event usually has 3 kB."""

_MAX_BODY = 4 << 20
"""Maximum bytes of any other body, including those of errors."""

_Result = tuple[None, "RawResponse | None", str | None, Exception | None]


class RawResponse(msgspec.Struct, frozen=True):
    """A response of any status. The SDK requires these attribute names.

    Attributes:
        headers: a multidict that ignores case.
        content_type: the content type without parameters.
        content: the body, byte for byte.
    """

    status: int
    headers: Any
    content_type: str
    content: bytes

    def as_response(self) -> Response:
        """Return this response in the form that callers of the API get."""
        # Okta sends one `link` header per link; a proxy may join them into one header.
        links = links_of(list(self.headers.getall("link", ())))
        return Response(self.status, self.content, links, from_http_date(self.headers.get("date", "")))


class Transport:
    """Speaks HTTP for the SDK, which calls `send_request`."""

    def __init__(self, limits: RateLimits, timeout: float, metrics: ApiMetrics | None) -> None:
        """Create the transport; the first request connects.

        The transport counts requests against the rate limits, because the SDK sends some requests by itself (for tokens
        and nonces). `timeout` is the number of seconds for one request. `metrics` is None if the calls are not counted,
        as in a command.
        """
        self._limits = limits
        self._metrics = metrics
        self._timeout = timeout
        self._session: Any = None

    async def send_request(self, request: dict[str, Any]) -> _Result:
        """Send a request of the SDK.

        Args:
            request: a mapping with `method`, `url`, `headers`, and `data` (an object to send as JSON) or `form`.

        Returns:
            A tuple as the SDK expects it: None, the response, the body that the SDK should read, and the error. If there is
            a response, the error is None. If there is no response, all other items are None.
        """
        path = urlsplit(request["url"]).path
        limiter = self._limits.limiter(path)
        limiter.record_request()
        try:
            response = await self._exchange(request)
        except NoResponseError as error:
            self._record(request, limiter.family, None)
            return None, None, None, error
        self._record(request, limiter.family, response)
        limiter.update_from_headers(response.headers)
        # The SDK would decode each body for its cache, which is off, even a whole page of the log. It needs only the
        # bodies of tokens and errors.
        readable = path == TOKEN_PATH or response.status >= 300
        return None, response, response.content.decode(errors="replace") if readable else "", None

    def _record(self, request: dict[str, Any], family: str, response: RawResponse | None) -> None:
        if self._metrics is not None:
            status, headers = (response.status, response.headers) if response else (None, {})
            self._metrics.record(request["method"], family, status, headers)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, request: dict[str, Any]) -> RawResponse:
        aiohttp = import_module("aiohttp")  # the SDK has imported it by now
        url = request["url"]
        host = urlsplit(url).netloc
        try:
            async with self._get_session(aiohttp).request(
                request["method"],
                # The URL is already encoded: Okta's links must be sent unchanged.
                import_module("yarl").URL(url, encoded=True),
                headers={**request["headers"], "Accept-Encoding": "gzip"},
                data=_body(request),
                allow_redirects=False,
                proxy=_proxy(url),
            ) as response:
                body = _body_of(response)
                content = await _read(response, body)
        except BodyTooLargeError as error:
            text = f"the response of {host} cannot be read: {error}"
            raw = RawResponse(response.status, response.headers, response.content_type, body.start)
            cut = raw.as_response() if 200 <= raw.status < 300 else None
            raise NoResponseError(text, sent=True, too_large=True, cut=cut, hint=PROXIES) from None
        except BodyEncodingError as error:
            text = f"the response of {host} cannot be read: {error}"
            raise NoResponseError(text, sent=True, hint=PROXIES) from None
        except aiohttp.ClientConnectorError as error:
            # If the certificate is the problem, aiohttp sets `certificate_error` and not `os_error`.
            is_proxy = isinstance(error, aiohttp.ClientProxyConnectionError)
            why, hint = why_unreachable(
                getattr(error, "certificate_error", None) or error.os_error or error,
                "`https_proxy` of the environment" if is_proxy else "the org's `url`",
            )
            raise NoResponseError(f"no connection to {host}: {why}", sent=False, hint=hint) from None
        except (aiohttp.ClientHttpProxyError, aiohttp.InvalidURL) as error:
            raise _refused_by_proxy(host, getattr(error, "status", None)) from None
        except TimeoutError:
            text = f"no response from {host} within {self._timeout:g} s"
            hint = "check the org's `url`, and the firewalls on the way"
            raise NoResponseError(text, sent=True, hint=hint) from None
        except ValueError:
            # aiohttp refuses to send a header with a line break. InvalidURL, which is a ValueError too, is caught above.
            text = f"a request to {host} cannot be sent: the access token has characters that a header cannot have"
            hint = "check whether a proxy answers in place of Okta, and set the org's `url` to its own address"
            raise NoResponseError(text, sent=False, hint=hint) from None
        except (aiohttp.ClientError, OSError) as error:
            # Only the type of the error is shown: its text may contain parts of the request.
            text = f"the connection to {host} broke ({type(error).__name__})"
            raise NoResponseError(text, sent=True, hint=PROXIES) from None
        return RawResponse(response.status, response.headers, response.content_type, content)

    def _get_session(self, aiohttp: Any) -> Any:
        if self._session is None:
            connector = aiohttp.TCPConnector()
            connector._factory = partial(_protocol(aiohttp), asyncio.get_running_loop())  # noqa: SLF001  # aiohttp has no public way
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # aiohttp would inflate a body without a limit on its size
            )
            # Otherwise aiohttp would send a request again after a broken connection: we would not count that call, and
            # Okta accepts a DPoP proof only once.
            self._session._retry_connection = False  # noqa: SLF001  # there is no public way
        return self._session


@cache
def _protocol(aiohttp: Any) -> Any:
    """Return the class of aiohttp's connections, with a limit on the number of interim responses."""

    class Protocol(aiohttp.client_proto.ResponseHandler):  # type: ignore[misc]  # a module that is imported late
        interim: InterimFilter | None = None

        def set_response_params(self, **params: Any) -> None:
            """Expect the response to a new request."""
            self.interim = InterimFilter()
            super().set_response_params(**params)

        def data_received(self, data: bytes) -> None:
            try:
                seen = self.interim.feed(data) if self.interim and data else data
            except TooManyInterimError as error:
                self.close()
                self.set_exception(aiohttp.ClientConnectionError(str(error)))
                return
            if seen or not data:  # without data, aiohttp goes on with what it has
                super().data_received(seen)

    return Protocol


def _body_of(response: Any) -> BoundedBody:
    """Return an empty body for aiohttp's `response`.

    Raises:
        BodyEncodingError: the body has an encoding other than gzip.
    """
    is_page = response.status == 200 and response.url.path == _LOG_PATH
    return BoundedBody(",".join(response.headers.getall("content-encoding", ())), _MAX_PAGE if is_page else _MAX_BODY)


async def _read(response: Any, body: BoundedBody) -> bytes:
    """Read the body of aiohttp's `response` into `body`, and return it.

    Raises:
        BodyTooLargeError: the body is too large. The rest is not read, and aiohttp closes the connection.
        BodyEncodingError: the body cannot be inflated. The rest is not read, and aiohttp closes the connection.
    """
    async for piece in response.content.iter_any():
        body.feed(piece)
    return body.finish()


def _refused_by_proxy(host: str, status: int | None) -> NoResponseError:
    """Return the error for a proxy that gave no connection to `host`. The proxy answered with the HTTP `status`; if
    `status` is None, the proxy's address is not a URL. Nothing was sent to `host`."""
    why = "the address of the proxy is not a URL" if status is None else f"the proxy refuses it (HTTP {status})"
    secret = ", and the user and password in it" if status == 407 else ""
    hint = f"check `https_proxy` of the environment, as in http://proxy.example:3128{secret}"
    return NoResponseError(f"no connection to {host}: {why}", sent=False, hint=hint)


def _body(request: dict[str, Any]) -> bytes | None:
    if request["data"]:
        return msgspec.json.encode(request["data"])
    return urlencode(request["form"]).encode() if request["form"] else None


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment sets for `url`; None if the environment sets no proxy, or if `url` is plain
    http, which is allowed only for loopback addresses.

    aiohttp's own `trust_env` is not used, because it would also take passwords from ~/.netrc.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get("https")
