"""The org's calls to a hook's address: the challenge, and the envelopes. What an answer means stands in `_judge`."""

import asyncio
import base64
from enum import Enum
from random import Random

import httpx
import msgspec

from forwarder.emulator.hooks import Hook

_ALWAYS = [(b"User-Agent", b"Okta-Integrations"), (b"Accept", b"application/json")]


class Answer(Enum):
    """What became of one call."""

    TAKEN = "taken"
    REFUSED = "refused"
    FAILED = "failed"


_NO_ANSWER = (TimeoutError, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL)
"""What an address can do to a caller. `UnicodeError` comes from the resolver, for a name that can be none."""


class Caller:
    """Calls hooks as Okta does: a few seconds of patience, no redirect followed, one retry where Okta has one.

    Args:
        client: the connections.
        timeout: seconds that one call may take, all of it.
        random: where challenges and request ids come from.
    """

    def __init__(self, client: httpx.AsyncClient, timeout: float, random: Random) -> None:
        self._client = client
        self._timeout = timeout
        self._random = random

    async def post(self, hook: Hook, body: bytes) -> bool:
        """Post one envelope, twice at most. Says whether the receiver took it."""
        answer = Answer.FAILED
        for _ in range(2):
            answer = _judge(await self._call("POST", hook, [(b"Content-Type", b"application/json")], body))
            if answer is not Answer.FAILED:
                break
        return answer is Answer.TAKEN

    async def verify(self, hook: Hook) -> bool:
        """Send the challenge, twice at most. Says whether the receiver echoed it.

        Here an error response of any kind is tried again; an answer that is wrong is not.
        """
        challenge = self._token(30)
        header = (b"X-Okta-Verification-Challenge", challenge.encode())
        for _ in range(2):
            response = await self._call("GET", hook, [header], None)
            if response is not None and response.is_success:
                return response.status_code == 200 and _echo(response.content) == challenge
        return False

    async def _call(
        self, method: str, hook: Hook, headers: list[tuple[bytes, bytes]], body: bytes | None
    ) -> httpx.Response | None:
        """One call; None where there was no answer in time, or none at all."""
        request_id = (b"X-Okta-Request-Id", self._token(20).encode())
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.request(
                    method,
                    hook.spec.channel.config.uri,
                    headers=[*_ALWAYS, request_id, *headers, *hook.headers()],
                    content=body,
                )
        except _NO_ANSWER:
            return None

    def _token(self, size: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(size)).decode().rstrip("=")


def _judge(response: httpx.Response | None) -> Answer:
    """The rule of retries: only a 5xx or no answer is tried again.

    Okta documents 200 and 204 as success, and says nothing of other 2xx and of 3xx for event hooks; both are read as it
    documents them for inline hooks: any 2xx will do, and a redirect is not followed.
    """
    if response is None or response.is_server_error:
        return Answer.FAILED
    return Answer.TAKEN if response.is_success else Answer.REFUSED


def _echo(body: bytes) -> object:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return answer.get("verification") if isinstance(answer, dict) else None
