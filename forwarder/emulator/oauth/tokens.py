"""The token endpoint: a service app sends a signed assertion (private_key_jwt) and gets an access token."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.emulator.http.errors import oauth_error
from forwarder.emulator.oauth.clients import ClientAuthenticator
from forwarder.emulator.oauth.dpop import ProofValidator
from forwarder.emulator.settings import ClientSettings, EmulatorSettings

ENDPOINT_PATH = "/oauth2/v1/token"

_LIFETIME = 3600
"""The number of seconds that an access token is valid."""


class AccessToken(msgspec.Struct, frozen=True):
    """A token that the org issued.

    Attributes:
        expires: end of the token's validity, in seconds since 1970.
        key: the public key that the token is bound to; None for a Bearer token.
    """

    client_id: str
    scopes: frozenset[str]
    expires: float
    key: Any


class TokenEndpoint:
    """Issues access tokens and remembers them."""

    def __init__(
        self, settings: EmulatorSettings, clock: Clock, proofs: ProofValidator, clients: ClientAuthenticator
    ) -> None:
        self._url = settings.url + ENDPOINT_PATH
        self._clock = clock
        self._proofs = proofs
        self._settings = settings.clients
        self._clients = clients
        self._tokens: dict[str, AccessToken] = {}

    def issue(self, form: Mapping[str, str], proof: str | None) -> dict[str, Any]:
        """Return the answer to `POST /oauth2/v1/token` with this `form`; `proof` is the call's `DPoP` header.

        Raises:
            ApiError: the org issues no token for this request.
        """
        if not form.get("grant_type"):
            raise oauth_error(400, "invalid_request", "The request lacks the parameter grant_type.")
        if form["grant_type"] != "client_credentials":
            raise oauth_error(400, "unsupported_grant_type", "The grant_type must be client_credentials.")
        client_id = self._clients.by_assertion(form, self._url)
        client = self._settings[client_id]
        key = None
        if proof is not None or client.dpop:
            key, nonce = self._proofs.check(proof, "POST", self._url)
            self._proofs.require_nonce(nonce)
        scopes = _granted_scopes(client, form.get("scope", ""))
        text, now = secrets.token_urlsafe(96), self._clock.now() / SECOND
        self._tokens = {name: token for name, token in self._tokens.items() if token.expires > now}
        self._tokens[text] = AccessToken(client_id, scopes, now + _LIFETIME, key)
        return {
            "token_type": "DPoP" if key else "Bearer",
            "expires_in": _LIFETIME,
            "access_token": text,
            "scope": " ".join(sorted(scopes)),
        }

    def find(self, text: str) -> AccessToken | None:
        """Return the token with this text; None if the token is unknown or has expired."""
        token = self._tokens.get(text)
        return token if token and token.expires > self._clock.now() / SECOND else None


def _granted_scopes(client: ClientSettings, requested: str) -> frozenset[str]:
    scopes = frozenset(requested.split())
    if not scopes:
        raise oauth_error(400, "invalid_scope", "The 'scope' parameter must be provided.")
    if refused := ", ".join(sorted(scopes - frozenset(client.scopes))):
        raise oauth_error(400, "invalid_scope", f"The app is not granted these scopes: {refused}.")
    return scopes
