"""Sends requests to the cluster, and converts error responses to errors for an operator."""

import re
from typing import Any, Protocol

import msgspec

from forwarder.connection_errors import refusal_hint
from forwarder.core.errors import SetupError
from forwarder.core.ports import Clock
from forwarder.setup.elasticsearch.responses import T, read
from forwarder.sinks.elasticsearch.bulk import LICENSE, LICENSE_HINT

_READY_WITHIN, _PAUSE = 30.0, 1.0
"""Seconds: how long a request is repeated while the cluster answers 503, and the wait between two attempts."""

_GRANTED_BY = re.compile(r"granted by the (cluster|index) privileges \[([^\],]+)")


class ClusterResponse(msgspec.Struct, frozen=True):
    """An HTTP response. `body` is the decoded JSON, or the text of a response that is not JSON."""

    status: int
    body: Any


class MissingPrivilegeError(SetupError):
    """The credentials lack a privilege."""


class AdminApi(Protocol):
    """Sends one HTTP request to the cluster."""

    async def call(self, method: str, path: str, body: Any = None) -> ClusterResponse:
        """Send one request, and return its response with any status.

        `path` may have a query. `body` is sent as JSON; None stands for no body.

        Raises:
            SinkError: there was no response, or it was not from Elasticsearch.
        """
        ...


class UntilReady:
    """A client that repeats a request for up to half a minute while the cluster answers 503.

    A cluster that has just started answers 503 until its shards are assigned. A request that gets a 503 was not carried
    out, so repeating the request is safe.
    """

    def __init__(self, api: AdminApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    async def call(self, method: str, path: str, body: Any = None) -> ClusterResponse:
        """Send one request, and repeat it while the cluster answers 503. Return the response with any status."""
        gives_up = self._clock.monotonic() + _READY_WITHIN
        while True:
            reply = await self._api.call(method, path, body)
            if reply.status != 503 or self._clock.monotonic() >= gives_up:
                return reply
            await self._clock.sleep(_PAUSE)


class Cluster:
    """Sends requests to a cluster, and returns the body of each response as the type `kind`.

    Methods raise SetupError for an error response and for a body of another form, and SinkError if there is no response.
    """

    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def find(self, path: str, kind: type[T]) -> T | None:
        """Return the body of GET `path`; None if the cluster answers 404."""
        reply = await self._api.call("GET", path)
        return None if reply.status == 404 else _body(reply, kind, f"GET {path}")

    async def get(self, path: str, kind: type[T]) -> T:
        """Return the body of GET `path`."""
        return await self.send("GET", path, kind)

    async def send(self, method: str, path: str, kind: type[T], body: Any = None) -> T:
        """Send a request and return the response's body."""
        return _body(await self._api.call(method, path, body), kind, f"{method} {path}")

    async def offer(self, method: str, path: str, kind: type[T], body: Any = None) -> T | None:
        """Send a request for a feature that the cluster may lack, and return the body of the response.

        Return None if the cluster lacks the feature or rejects `body`.
        """
        reply = await self._api.call(method, path, body)
        refused = reply.status in (401, 403, 429) or (reply.status >= 500 and not is_unknown_path(reply))
        if refused or reply.status < 300:
            return _body(reply, kind, f"{method} {path}")
        return None


def is_unknown_path(reply: ClusterResponse) -> bool:
    """Whether an error response with the status 5xx means only that the server does not know the path of the request."""
    return "failed to find action" in reason(reply) or "no handler found" in reason(reply)


def _body(reply: ClusterResponse, kind: type[T], what: str) -> T:
    if reply.status < 300:
        return read(reply.body, kind, what)
    words = reason(reply)
    if reply.status == 401:
        raise SetupError(
            "Elasticsearch does not accept the credentials of this sink; correct its `api_key` or `basic_auth`"
            f" (401: {words})"
        )
    if LICENSE in words:
        raise SetupError(f"{LICENSE_HINT} ({reply.status}: {words})")
    if reply.status == 403:
        found = _GRANTED_BY.search(words)
        right = f"the {found[1]} privilege `{found[2]}`" if found else "a privilege"
        raise MissingPrivilegeError(
            f"{right} is missing for {what}; docs/elasticsearch.md lists all privileges that setup needs. ({words})"
        )
    hint = ""
    if reply.status == 503:
        hint = "; see GET _cluster/health, and run this again when the cluster is ready"
    elif usual := refusal_hint(reply.status, "Elasticsearch", "the `hosts` of the sink", is_own=_has_error(reply)):
        hint = f"; {usual}"
    raise SetupError(f"Elasticsearch answered {what} with {reply.status}: {words}{hint}")


def _has_error(reply: ClusterResponse) -> bool:
    return isinstance(reply.body, dict) and "error" in reply.body


def reason(reply: ClusterResponse) -> str:
    """Return the reason in an error response and the reasons of its causes. The innermost cause comes last."""
    error = reply.body.get("error") if isinstance(reply.body, dict) else reply.body
    words: list[str] = []
    while isinstance(error, dict):
        said = str(error.get("reason") or "")
        if said and said not in words:
            words.append(said)
        error = error.get("caused_by")
    if isinstance(error, str):
        words.append(" ".join(error.split())[:500])
    return ": ".join(words) or "no reason given"
