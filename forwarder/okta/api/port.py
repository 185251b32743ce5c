"""The interface to Okta's API for the other packages in `forwarder/okta`."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec


class Response(msgspec.Struct, frozen=True):
    """A 2xx response. `links` maps each `rel` of its `link` headers to an address."""

    status: int
    content: bytes
    links: Mapping[str, str]

    def json(self) -> Any:
        """Decode the body; None if it is empty.

        Raises:
            msgspec.DecodeError: it is not JSON.
        """
        return msgspec.json.decode(self.content) if self.content else None


class Api(Protocol):
    """One org's API. Implementations add the credentials, keep the rate limits and retry."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """Send one request and return its 2xx response; wait for the rate limit, and retry where that is
        safe.

        Args:
            method: the HTTP method.
            path: a path such as `/api/v1/logs`, or a full URL of that org, as its `link` headers contain it.
            query: query parameters.
            body: an object to send as JSON; None for no body.

        Raises:
            OktaRefusedError: Okta refused; the text names the missing scope or role if that is known.
            OktaUnreachableError: no response.
        """
        ...

    async def close(self) -> None:
        """Release all resources. Safe to call twice and without a call."""
        ...
