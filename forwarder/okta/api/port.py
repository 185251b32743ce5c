"""Okta's API as the other rooms of the Okta side see it."""

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
    """One org's API, with credentials, rate limit and retries behind it."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """Send one request; wait for the rate limit if needed, and retry if that may help.

        Args:
            method: the HTTP method.
            path: below the org's URL, as in `/api/v1/logs`; or a whole URL of that org, as its links give it.
            query: parameters.
            body: encoded as JSON; None for no body.

        Raises:
            OktaRefusedError: Okta refused; the text names the missing scope or role if that is known.
            OktaUnreachableError: no response.
        """
        ...

    async def close(self) -> None:
        """Release all resources. Safe to call twice and without a call."""
        ...
