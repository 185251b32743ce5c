"""Okta's API as the rest of this room sees it."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """A 2xx answer.

    Attributes:
        status: of HTTP.
        content: the body, byte for byte.
        links: addresses by their `rel`, from the `link` headers.
    """

    status: int
    content: bytes
    links: Mapping[str, str]

    def json(self) -> Any:
        """The body, decoded; None where it is empty.

        Raises:
            msgspec.DecodeError: it is no JSON.
        """
        return msgspec.json.decode(self.content) if self.content else None


class Api(Protocol):
    """One org's API, with its credentials, its rate limit and its retries behind it."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """Send one request; wait for the rate limit where it must, and try again where that may help.

        Args:
            method: of HTTP.
            path: below the org's address, as in `/api/v1/logs`; or a whole address of that org, as its links give it.
            query: parameters.
            body: encoded as JSON; None for none.

        Raises:
            OktaRefusedError: Okta refused; the text says what is missing, where that can be told.
            OktaUnreachableError: no answer.
        """
        ...

    async def close(self) -> None:
        """Let go of everything. Safe to call twice and without a call."""
        ...
