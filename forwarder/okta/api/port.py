"""The interface to Okta's API for the other packages in `forwarder/okta`."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from forwarder.core.errors import OktaError
from forwarder.core.lenient_json import decode_leniently
from forwarder.core.time import Micros


def not_okta(what: str, why: object = None) -> OktaError:
    """Return the error for a 2xx response with unexpected content. `what` names the expected content; `why` is the
    parser's reason."""
    return OktaError(
        f"Okta answered with something that is not {what}{f': {why}' if why else ''}; check the org's `url`, and whether a"
        " proxy or another server answers there"
    )


class Response(msgspec.Struct, frozen=True):
    """A 2xx response.

    Attributes:
        links: maps each `rel` in the `link` headers, such as `next`, to an address.
        sent_at: when Okta sent the response, by Okta's clock in whole seconds; None if the response has no valid `Date`
            header.
    """

    status: int
    content: bytes
    links: Mapping[str, str]
    sent_at: Micros | None = None

    def json(self) -> Any:
        """Return the body, decoded from JSON; None if the body is empty.

        Raises:
            OktaError: the body is not JSON; it may be the page of a proxy.
        """
        try:
            return decode_leniently(msgspec.json.decode, self.content)[0] if self.content else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_okta("JSON", error) from None


class OktaTooLargeError(OktaError):
    """Okta's response is larger than the maximum that the forwarder reads into memory.

    Attributes:
        cut: the response with only the start of its body; None if its status is not 2xx.
    """

    def __init__(self, message: str, cut: Response | None = None) -> None:
        super().__init__(message)
        self.cut = cut


class Api(Protocol):
    """One org's API. Implementations add the credentials, stay within the rate limits, and retry."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """Send a request and return its 2xx response. Wait if the rate limit requires it, and retry if that is safe.

        `path` may also be a full URL of the org, such as one from a `link` header. `body` is sent as JSON.

        Raises:
            OktaRefusedError: Okta refused the call. The text names the scope or role that may be missing, if known.
            OktaUnreachableError: there was no response.
            OktaTooLargeError: the response is too large.
        """
        ...

    async def close(self) -> None:
        """Release all resources. Safe to call twice, and without a `call` before."""
        ...
