"""The orgs' APIs as reactions use them: each call is sent once, whatever its result."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from forwarder.core.errors import OktaError
from forwarder.core.lenient_json import decode_leniently
from forwarder.core.ports import Clock
from forwarder.okta.api.client import OktaClient
from forwarder.okta.api.errors import ErrorResponse, NoResponseError
from forwarder.okta.api.transport import RawResponse
from forwarder.react.ports import Answer, okta_retry_at, unreadable


class OktaCalls:
    """Implements `react.ports.Okta`."""

    def __init__(self, client: Callable[[str], OktaClient | None], clock: Clock) -> None:
        """Create the object. `client` returns the API client of an org. All calls of the forwarder to an org use the
        client of that org, so that the calls share the org's rate limits."""
        self._client = client
        self._clock = clock

    def org(self, name: str) -> "OrgCalls | None":
        client = self._client(name)
        return None if client is None else OrgCalls(client, self._clock)


class OrgCalls:
    """Implements `react.ports.OktaCall` for one org."""

    def __init__(self, client: OktaClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def ready(self, method: str, path: str) -> None:  # noqa: ARG002
        with contextlib.suppress(OktaError):  # a link to another host: `call` returns an answer that says so
            await self._client.ready(path)

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        try:
            result = await self._client.send_once(method, path, query=query, body=body)
        except OktaError as error:  # a link to another host, or credentials that cannot be used
            return Answer(400, text=str(error), sent=False)
        if isinstance(result, RawResponse):
            return _carried_out(result, f"{method} {path.partition('?')[0]}")
        text = self._client.explain(method, path.partition("?")[0], result)
        if isinstance(result, NoResponseError):
            return Answer(0, text=text, sent=result.sent)
        return self._refused(result, text)

    def _refused(self, refused: ErrorResponse, text: str) -> Answer:
        headers = refused.headers
        return Answer(
            refused.status,
            code=refused.code,
            text=text,
            sent=not refused.from_token_endpoint,
            error_id=refused.error_id,
            request_id=headers.get("x-okta-request-id", ""),
            retry_at=okta_retry_at(refused.status, headers, self._clock.now()),
        )


def _carried_out(response: RawResponse, what: str) -> Answer:
    answer = Answer(
        response.status, request_id=response.headers.get("x-okta-request-id", ""), links=response.as_response().links
    )
    try:
        body = decode_leniently(msgspec.json.decode, response.content)[0] if response.content else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return unreadable(answer, what)
    return msgspec.structs.replace(answer, body=body)
