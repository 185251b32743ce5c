"""Receives Security Event Tokens by RFC 8935.

The answer to a valid token is 202, even if the org ignores the token. The answer to any other token is 400 with a
reason.
"""

import ssl
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import iso
from forwarder.emulator.actors import Report, System
from forwarder.emulator.http.errors import ApiError, OktaApiError
from forwarder.emulator.settings import EmulatorSettings
from forwarder.emulator.ssf.providers import Provider, Providers
from forwarder.emulator.ssf.tokens import RISK_CHANGE, UnverifiedToken, parse, refusal, subject_user
from forwarder.emulator.users.directory import EmulatedUser, UserDirectory

_NO_RESPONSE = (TimeoutError, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL)


class Received(msgspec.Struct, frozen=True):
    """A received token.

    Attributes:
        result: `accepted`; `duplicate` or `unknown_subject` if the org ignored the token, as Okta does; the `err` of
            the response if the org refused the token.
        user: id of the user that the token is about; None if unknown.
    """

    at: str
    issuer: str
    jti: str
    result: str
    type: str = ""
    user: str | None = None
    event: Any = None


@cache
def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the CAs in `ca_file`, or the system's CAs if `ca_file` is None. The
    context is cached, because reading the system's CAs takes 50 ms."""
    return ssl.create_default_context(cafile=ca_file)


class SecurityEventReceiver:
    """The receiver of the tokens that are sent to one org."""

    def __init__(
        self, settings: EmulatorSettings, clock: Clock, providers: Providers, users: UserDirectory, report: Report
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._providers = providers
        self._users = users
        self._report = report
        self._seen: set[tuple[str, str]] = set()
        self._received: list[Received] = []
        self._trusted = _trusting(settings.ca_file)

    def all(self) -> Sequence[Received]:
        """Return every token that could be decoded, the oldest first."""
        return tuple(self._received)

    async def receive(self, body: bytes) -> tuple[Provider, bool]:
        """Check and process a token as Okta does. Return the provider that sent the token, and whether the token had an
        effect.

        Raises:
            ApiError: the token is refused, as Okta would refuse it.
        """
        token = parse(body)
        try:
            provider = await self._sender(token)
            kind, event = token.event
        except ApiError as error:
            self._keep(token, str(error.body["err"]))
            raise
        user = self._subject(event)
        result: Literal["accepted", "duplicate", "unknown_subject"] = "accepted"
        if (token.issuer, token.jti) in self._seen:
            result = "duplicate"
        elif user is None:
            result = "unknown_subject"
        self._seen.add((token.issuer, token.jti))
        self._keep(token, result, type=kind, user=user and user.id, event=event)
        if user is None or result != "accepted":
            return provider, False
        self._report("security.events.provider.receive_event", provider, target=[user.entity()])
        if kind == RISK_CHANGE:
            self._users.receive_risk(user, event["current_level"], System())
        return provider, True

    async def _sender(self, token: UnverifiedToken) -> Provider:
        """Return the provider that sent a token, after checking the signature with the provider's keys."""
        for provider in self._providers.all():
            if not provider.active:
                continue
            issuer, jwks_url = await self._issuer(provider)
            if issuer != token.issuer:
                continue
            audiences = token.audience if isinstance(token.audience, list) else [token.audience]
            if self._settings.url not in audiences:
                raise refusal("invalid_audience", f"The claim 'aud' must be {self._settings.url}.")
            token.verify(await self._json(jwks_url))
            return provider
        raise refusal("invalid_issuer", f"No active provider has the issuer {token.issuer}.")

    async def _issuer(self, provider: Provider) -> tuple[str, str]:
        """Return a provider's issuer and the URL of its keys. Return empty strings if the provider's document
        cannot be fetched."""
        settings = provider.spec.settings
        if settings.well_known_url is None:
            return settings.issuer or "", settings.jwks_url or ""
        try:
            document = await self._json(settings.well_known_url)
        except ApiError:
            return "", ""
        return str(document.get("issuer")), str(document.get("jwks_uri"))

    async def _json(self, url: str) -> dict[str, Any]:
        """Fetch a JSON document of a provider. Raise ApiError if the document cannot be fetched or is not JSON."""
        try:
            async with httpx.AsyncClient(
                verify=self._trusted, trust_env=False, timeout=self._settings.timeout
            ) as client:
                answer = await client.get(url)
            kind = answer.headers.get("content-type", "").partition(";")[0]
            if answer.status_code != 200 or kind != "application/json":
                raise refusal(
                    "invalid_key",
                    f"{url} must answer 200 with application/json; it answers {answer.status_code} with"
                    f" {kind or 'no content type'}.",
                )
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except (*_NO_RESPONSE, msgspec.DecodeError) as error:
            raise refusal("invalid_key", f"{url} cannot be fetched, or has no JSON object.") from error

    def _subject(self, event: dict[str, Any]) -> EmulatedUser | None:
        try:
            return self._users.find(subject_user(event) or "")
        except OktaApiError:
            return None

    def _keep(self, token: UnverifiedToken, result: str, **fields: Any) -> None:
        at = iso(self._clock.now(), "milliseconds")
        self._received.append(Received(at, token.issuer, token.jti, result, **fields))
