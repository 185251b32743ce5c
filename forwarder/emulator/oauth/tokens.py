"""The token endpoint: a service app sends a signed assertion (private_key_jwt) and gets an access token."""

import secrets
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from jwt.types import Options

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.emulator.http.errors import ApiError, oauth_error
from forwarder.emulator.http.urls import same_url
from forwarder.emulator.oauth.dpop import ALGORITHMS, ProofValidator, ReplayCache, read_key
from forwarder.emulator.settings import ClientSettings, EmulatorSettings

ENDPOINT_PATH = "/oauth2/v1/token"

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFETIME = 3600
"""Seconds that an access token is valid, and at most an assertion."""

_LEEWAY = 60.0
"""Seconds by which the caller's clock may differ."""


class AccessToken(msgspec.Struct, frozen=True):
    """A token that the org issued.

    Attributes:
        expires: in seconds since 1970.
        key: the public key that the token is bound to; None for a Bearer token.
    """

    client_id: str
    scopes: frozenset[str]
    expires: float
    key: Any


class TokenEndpoint:
    """Issues access tokens and remembers them.

    Raises:
        KeyFormatError: a key of a service app is not one.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock, proofs: ProofValidator) -> None:
        self._url = settings.url + ENDPOINT_PATH
        self._clock = clock
        self._proofs = proofs
        self._clients = settings.clients
        self._keys = {
            client_id: [read_key(key.reveal()) for key in client.keys]
            for client_id, client in settings.clients.items()
        }
        self._assertions = ReplayCache()
        self._tokens: dict[str, AccessToken] = {}

    def issue(self, form: Mapping[str, str], proof: str | None) -> dict[str, Any]:
        """Answer `POST /oauth2/v1/token` with this body and `DPoP` header.

        Raises:
            ApiError: the org issues no token for this request.
        """
        if form.get("grant_type") != "client_credentials":
            raise oauth_error(400, "unsupported_grant_type", "The grant_type must be client_credentials.")
        client_id = self._authenticate(form)
        client = self._clients[client_id]
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
        """Return the token with this text, if it is valid."""
        token = self._tokens.get(text)
        return token if token and token.expires > self._clock.now() / SECOND else None

    def _authenticate(self, form: Mapping[str, str]) -> str:
        """Return the client id that the assertion proves. Each assertion works once, whatever the result."""
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            raise _invalid_client("The client_assertion_type is missing or not supported.")
        assertion = form.get("client_assertion", "")
        try:
            client_id = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError as error:
            raise _invalid_client("The client_assertion is malformed.") from error
        if not isinstance(client_id, str) or client_id not in self._clients:
            raise _invalid_client("Invalid value for 'client_id' parameter.")
        claims = self._verified(assertion, client_id)
        now, expires, jti = self._clock.now() / SECOND, claims.get("exp"), claims.get("jti")
        if not isinstance(expires, int | float) or expires <= now - _LEEWAY:
            raise _invalid_client("The client_assertion token is expired.")
        if expires > now + _LIFETIME + _LEEWAY:
            raise _invalid_client("The client_assertion token has an expiration too far into the future.")
        if isinstance(jti, str) and not self._assertions.add(
            f"{client_id} {jti}", now=now, until=expires + _LEEWAY
        ):
            raise _invalid_client("The client_assertion token has already been used.")
        return client_id

    def _verified(self, assertion: str, client_id: str) -> dict[str, Any]:
        """Return the claims of an assertion that one of the client's keys signed, for this endpoint."""
        # PyJWT compares times with the system's clock; `_authenticate` takes the org's.
        # And it compares audiences letter by letter, where Okta knows that `:443` is https.
        options: Options = {
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_aud": False,
        }
        for key in self._keys[client_id]:
            try:
                claims = jwt.decode(assertion, key, ALGORITHMS, options, subject=client_id)
            except jwt.exceptions.InvalidSubjectError as error:
                raise _invalid_client("The client_assertion's 'sub' must be the client_id.") from error
            except (jwt.PyJWTError, TypeError):
                continue
            audiences = claims.get("aud")
            for audience in audiences if isinstance(audiences, list) else [audiences]:
                if same_url(audience, self._url):
                    return claims
            raise _invalid_client(f"The client_assertion's 'aud' must be {self._url}.")
        raise _invalid_client("The client_assertion signature is invalid.")


def _granted_scopes(client: ClientSettings, requested: str) -> frozenset[str]:
    scopes = frozenset(requested.split())
    if not scopes:
        raise oauth_error(400, "invalid_scope", "The 'scope' parameter must be provided.")
    if refused := ", ".join(sorted(scopes - frozenset(client.scopes))):
        raise oauth_error(400, "invalid_scope", f"The app is not granted these scopes: {refused}.")
    return scopes


def _invalid_client(reason: str) -> ApiError:
    return oauth_error(401, "invalid_client", reason)
