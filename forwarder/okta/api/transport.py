"""HTTP under the SDK, in place of its own client, which cannot be told what matters here.

The SDK's client follows redirects and takes the credentials along, writes whole requests with their credentials into the
log at DEBUG, opens a connection for every call, and gives the body as text only.
"""

from importlib import import_module
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from forwarder.core.errors import OktaUnreachableError
from forwarder.okta.api.rate_limits import Limits

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105 - an address

_Result = tuple[None, "Received | None", str | None, Exception | None]


class LostError(OktaUnreachableError):
    """No answer.

    Attributes:
        sent: Okta may have got the request, and done what it asks.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Received(msgspec.Struct, frozen=True):
    """An answer, whatever its status; named as the SDK wants it.

    Attributes:
        status: of HTTP.
        headers: a multidict; its names are heeded in any case.
        content_type: without parameters.
        content: the body, byte for byte.
    """

    status: int
    headers: Any
    content_type: str
    content: bytes

    @property
    def links(self) -> list[str]:
        """The `link` headers; Okta sends one for each link, a proxy may join them."""
        return list(self.headers.getall("link", ()))


class Transport:
    """Speaks HTTP for the SDK, which calls `send_request`."""

    def __init__(self, limits: Limits, timeout: float) -> None:
        """Args:
        limits: where calls are counted: here, because the SDK also calls of its own accord (tokens, nonces).
        timeout: seconds for one call.
        """
        self._limits = limits
        self._timeout = timeout
        self._session: Any = None

    async def send_request(self, request: dict[str, Any]) -> _Result:
        """Send what the SDK made.

        Args:
            request: with its `method`, `url`, `headers`, and `data` (JSON) or `form`.

        Returns:
            Nothing, the answer, its body as far as the SDK shall read it, and the error where there is no answer.
        """
        path = urlsplit(request["url"]).path
        bucket = self._limits.bucket(path)
        bucket.sent()
        try:
            received = await self._exchange(request)
        except LostError as error:
            return None, None, None, error
        bucket.answered(received.headers)
        # The SDK decodes each body that it can, a whole page of the log included, for a cache that is not there. It
        # needs the tokens and the errors.
        readable = path == TOKEN_PATH or received.status >= 300
        return None, received, received.content.decode(errors="replace") if readable else "", None

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, request: dict[str, Any]) -> Received:
        aiohttp = import_module("aiohttp")  # imported by then: the SDK does
        url = request["url"]
        try:
            async with self._connected(aiohttp).request(
                request["method"],
                # Encoded already: a link of Okta's is sent as it came.
                import_module("yarl").URL(url, encoded=True),
                headers=request["headers"],
                data=_body(request),
                allow_redirects=False,
                proxy=_proxy(url),
            ) as response:
                content = await response.read()
        except aiohttp.ClientConnectorError as error:
            # aiohttp leaves `os_error` unset where the certificate is at fault.
            why = getattr(error, "certificate_error", None) or error.os_error
            raise LostError(f"no connection to {_host(url)}: {why}", sent=False) from None
        except TimeoutError:
            raise LostError(f"no answer from {_host(url)} within {self._timeout:g} s", sent=True) from None
        except (aiohttp.ClientError, OSError) as error:
            # Its type alone: its text may hold what was sent.
            raise LostError(
                f"the connection to {_host(url)} broke ({type(error).__name__})", sent=True
            ) from None
        return Received(response.status, response.headers, response.content_type, content)

    def _connected(self, aiohttp: Any) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout), cookie_jar=aiohttp.DummyCookieJar()
            )
            # It would send again by itself where a connection breaks: a call that nobody counts, with a DPoP proof that
            # Okta takes but once.
            self._session._retry_connection = False  # noqa: SLF001 - there is no door to it
        return self._session


def _body(request: dict[str, Any]) -> bytes | None:
    if request["data"]:
        return msgspec.json.encode(request["data"])
    return urlencode(request["form"]).encode() if request["form"] else None


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _proxy(url: str) -> str | None:
    """The environment's proxy. Not aiohttp's `trust_env`, which also takes passwords from ~/.netrc. Plain http is for
    loopback alone."""
    parts = urlsplit(url)
    if parts.scheme != "https" or proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get("https")
