"""Sends challenges and events to the receivers of the org's hooks, by Okta's rules. Each request is sent at most
twice."""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import iso
from forwarder.emulator.events.generator import GeneratedEvent
from forwarder.emulator.hooks.hooks import EmulatedHook
from forwarder.emulator.hooks.quota import Quota
from forwarder.emulator.settings import EmulatorSettings

_HEADERS = [(b"User-Agent", b"Okta-Integrations"), (b"Accept", b"application/json")]

_NO_RESPONSE = (TimeoutError, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL)
"""What a failed call can raise. The resolver raises `UnicodeError` for an impossible host name."""


class Deliverer:
    """Calls the receivers of one org's hooks, with a short timeout and without following redirects.

    The requests go through httpx's transports, without httpx's client. So a call takes half the time, and httpx adds no
    headers. If `deliver` posts events without success, `on_failure` is called with the hook and the reason.
    """

    def __init__(
        self, settings: EmulatorSettings, clock: Clock, quota: Quota, on_failure: Callable[[EmulatedHook, str], None]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._quota = quota
        self._on_failure = on_failure
        self._transports: dict[str, httpx.AsyncHTTPTransport] = {}

    async def deliver(self, hook: EmulatedHook, batch: Sequence[GeneratedEvent]) -> bool:
        """Deliver `batch` in one POST. Return whether the receiver accepted the POST. If not, the events of `batch` are
        never sent again."""
        if not hook.live:  # it was deactivated in the meantime; Okta documents no rule for this
            return False
        if not self._quota.use(len(batch)):
            return False
        time = iso(self._clock.now(), "milliseconds")
        response = await self._post(hook, [msgspec.Raw(event.hook) for event in batch], time)
        # For event hooks, Okta documents that 200 and 204 are a success, and nothing about other 2xx and 3xx.
        # So the rules for inline hooks are used here: any 2xx is a success, and redirects are not followed.
        if response is not None and response.is_success:
            return True
        self._on_failure(hook, "Hook timed out" if response is None else f"HTTP status {response.status_code}")
        return False

    async def preview(self, hook: EmulatedHook, event: dict[str, Any]) -> bool:
        """Deliver one event, even if the hook is not live or does not subscribe to the event's type. The event does not
        use up the quota. Return whether the receiver accepted the event."""
        response = await self._post(hook, [event], iso(self._clock.now(), "microseconds"))
        return response is not None and response.is_success

    async def verify(self, hook: EmulatedHook) -> bool:
        """Send the challenge, and return whether the receiver echoed it.

        Like Okta, this method sends the challenge a second time if the receiver does not respond, or responds
        with a status other than 2xx. It does not send the challenge again after a wrong echo.
        """
        challenge = secrets.token_urlsafe(30)
        header = (b"X-Okta-Verification-Challenge", challenge.encode())
        for _ in range(2):
            response = await self._call("GET", hook, header, None)
            if response is not None and response.is_success:
                return response.status_code == 200 and _echo(response.content) == challenge
        return False

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    async def _post(self, hook: EmulatedHook, events: Sequence[Any], time: str) -> httpx.Response | None:
        """Post `events` in one request, and return the last response; None if the receiver did not respond.

        Like Okta, this method sends the request a second time if the receiver does not respond, or responds with a 5xx.
        """
        header = (b"Content-Type", b"application/json")
        body = msgspec.json.encode(
            {
                "eventType": "com.okta.event_hook",
                "eventTypeVersion": "1.0",
                "cloudEventsVersion": "0.1",
                "source": f"{self._settings.url}/api/v1/eventHooks/{hook.id}",
                "eventId": str(uuid4()),
                "data": {"events": events},
                "eventTime": time,
                "contentType": "application/json",
            }
        )
        response = await self._call("POST", hook, header, body)
        if response is None or response.is_server_error:
            response = await self._call("POST", hook, header, body)
        return response

    async def _call(
        self, method: str, hook: EmulatedHook, header: tuple[bytes, bytes], body: bytes | None
    ) -> httpx.Response | None:
        """Send one request and return the response; None if the receiver does not respond in time."""
        request_id = (b"X-Okta-Request-Id", secrets.token_urlsafe(20).encode())
        headers = [*_HEADERS, request_id, header, *hook.headers()]
        try:
            request = httpx.Request(method, hook.spec.channel.config.uri, headers=headers, content=body)
            async with asyncio.timeout(self._settings.timeout):
                response = await self._transport(request.url.scheme).handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
                return response
        except _NO_RESPONSE:
            return None

    def _transport(self, scheme: str) -> httpx.AsyncHTTPTransport:
        if scheme not in self._transports:
            ca_file = self._settings.ca_file
            # Making a TLS context takes 30 ms. Hooks with http, as in a demo and in tests, do not need it.
            verify = ssl.create_default_context(cafile=ca_file) if ca_file else scheme == "https"
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            # The proxy of the environment is not used: the receiver of a demo is on this machine.
            transport = httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False)
            self._transports[scheme] = transport
        return self._transports[scheme]


def _echo(body: bytes) -> object:
    try:
        response = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return response.get("verification") if isinstance(response, dict) else None
