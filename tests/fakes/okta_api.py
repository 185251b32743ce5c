"""`forwarder.okta.api.Api` over plain httpx: no credentials but a token, no limits, no retries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from forwarder.core.errors import OktaRefusedError, OktaUnreachableError
from forwarder.okta.api.port import Response
from tests.fakes.okta_org import TOKEN


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    body: Any


class PlainApi:
    """Use it as a context.

    Attributes:
        sent: what was asked, in turn.
        fault: raised instead of asking, as long as it is set.
    """

    def __init__(self, url: str, token: str = TOKEN) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"SSWS {token}"}, trust_env=False, verify=False
        )
        self.sent: list[Sent] = []
        self.fault: Exception | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """As `Api.call`."""
        if self.fault is not None:
            raise self.fault
        self.sent.append(Sent(method, path, body))
        try:
            answer = await self._client.request(method, path, params=query, json=body)
        except httpx.HTTPError as error:
            raise OktaUnreachableError(str(error)) from error
        if not answer.is_success:
            told = answer.json()
            causes = "; ".join(cause["errorSummary"] for cause in told["errorCauses"])
            raise OktaRefusedError(answer.status_code, told["errorCode"], f"{told['errorSummary']}: {causes}")
        links = {str(rel): link["url"] for rel, link in answer.links.items()}
        return Response(answer.status_code, answer.content, links)

    async def close(self) -> None:
        """As `Api.close`."""
        await self._client.aclose()

    @property
    def changes(self) -> list[str]:
        """What was sent that changes something: method and the last word of the path."""
        return [f"{one.method} {one.path.rpartition('/')[2]}" for one in self.sent if one.method != "GET"]
