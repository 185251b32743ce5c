"""Questions to the cluster, and what its answers mean for setup."""

import re
from typing import Any

from forwarder.core.errors import SetupError
from forwarder.core.ports import Caller, Reply

_GRANTED_BY = re.compile(r"granted by the (cluster|index) privileges \[([^\],]+)")


class Cluster:
    """A cluster, asked by an operator's key."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def find(self, path: str) -> Any:
        """What is at `path`; None where nothing is.

        Raises:
            SetupError: any other answer.
        """
        reply = await self._caller.call("GET", path)
        return None if reply.status == 404 else _body(reply, f"GET {path}")

    async def get(self, path: str) -> Any:
        """What is at `path`.

        Raises:
            SetupError: it could not be had.
        """
        return _body(await self._caller.call("GET", path), f"GET {path}")

    async def put(self, path: str, body: Any) -> None:
        """Write `body`.

        Raises:
            SetupError: it was refused.
        """
        _body(await self._caller.call("PUT", path, body), f"PUT {path}")

    async def post(self, path: str, body: Any = None) -> Any:
        """Send `body`; what is answered.

        Raises:
            SetupError: it was refused.
        """
        return _body(await self._caller.call("POST", path, body), f"POST {path}")

    async def offer(self, method: str, path: str, body: Any = None) -> Any:
        """Ask for what this cluster may not have; None where it has not, or refuses `body`.

        Raises:
            SetupError: the key may not ask, or the cluster is in trouble.
        """
        reply = await self._caller.call(method, path, body)
        if reply.status in (401, 403, 429) or (reply.status >= 500 and not _unknown(reply)):
            _body(reply, f"{method} {path}")
        return reply.body if reply.status < 300 else None


def _unknown(reply: Reply) -> bool:
    """Whether an error of the server's only says that it does not have this."""
    return "failed to find action" in reason(reply) or "no handler found" in reason(reply)


def _body(reply: Reply, what: str) -> Any:
    if reply.status < 300:
        return reply.body
    words = reason(reply)
    if reply.status == 401:
        raise SetupError(f"Elasticsearch does not know the credentials of this sink (401): {words}")
    if reply.status == 403:
        found = _GRANTED_BY.search(words)
        right = f"the {found[1]} privilege `{found[2]}`" if found else "a privilege"
        raise SetupError(
            f"{right} is missing for {what}; docs/elasticsearch.md lists all that setup needs. ({words})"
        )
    raise SetupError(f"{what} is answered {reply.status}: {words}")


def reason(reply: Reply) -> str:
    """Why, in the server's words, the innermost cause last."""
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
