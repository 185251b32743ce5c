"""Access tokens of service apps: a signed assertion in, a token for an hour out, bound to a key where the app has DPoP."""

import secrets
from collections.abc import Mapping

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.http.errors import OAuthError
from forwarder.emulator.oauth.dpop import Proofs
from forwarder.emulator.oauth.jws import JwsError, Used, read_key, unverified, verified
from forwarder.emulator.settings import ClientSettings, EmulatorSettings

PATH = "/oauth2/v1/token"
_BY_KEY = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST = 3600.0
"""Seconds that an assertion may hold."""
_LEEWAY = 60.0


class AccessToken(msgspec.Struct, frozen=True):
    """A token that the org gave.

    Attributes:
        client_id: to whom.
        scopes: for what.
        ends: when, in seconds since 1970.
        key: thumbprint of the key that it is bound to; None for a bearer's.
    """

    client_id: str
    scopes: frozenset[str]
    ends: float
    key: str | None


class Tokens:
    """The org's token endpoint and what it gave.

    Args:
        settings: who may have a token.
        clock: what time it is.
        proofs: looks at the callers' proofs.

    Raises:
        JwsError: a key of the settings is none.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock, proofs: Proofs) -> None:
        self._url = settings.url + PATH
        self._life = settings.token_life
        self._clock = clock
        self._proofs = proofs
        self._clients = settings.clients
        self._keys = {
            name: [read_key(key.reveal()) for key in client.keys] for name, client in settings.clients.items()
        }
        self._used = Used()
        self._given: dict[str, AccessToken] = {}

    def give(self, form: Mapping[str, str], proof: str | None) -> dict[str, object]:
        """Answer `POST /oauth2/v1/token`.

        Args:
            form: what was posted.
            proof: the `DPoP` header.

        Raises:
            OAuthError: there is no token for this.
        """
        if form.get("grant_type") != "client_credentials":
            raise OAuthError(400, "unsupported_grant_type", "The grant_type must be client_credentials.")
        client_id = self._authenticate(form)
        client = self._clients[client_id]
        key = self._bind(client, proof)
        scopes = _scopes(client, form.get("scope", ""))
        text = secrets.token_urlsafe(96)
        now = self._clock.now() / 1e6
        self._given = {name: token for name, token in self._given.items() if token.ends > now}
        self._given[text] = AccessToken(client_id, scopes, now + self._life, key)
        return {
            "token_type": "DPoP" if key else "Bearer",
            "expires_in": int(self._life),
            "access_token": text,
            "scope": " ".join(sorted(scopes)),
        }

    def find(self, text: str) -> AccessToken | None:
        """The token that somebody shows, if the org gave it and it has not ended."""
        token = self._given.get(text)
        return token if token and token.ends > self._clock.now() / 1e6 else None

    def _bind(self, client: ClientSettings, proof: str | None) -> str | None:
        if proof is None and not client.dpop:
            return None
        checked = self._proofs.check(proof, "POST", self._url)
        self._proofs.demand(checked)
        return checked.key

    def _authenticate(self, form: Mapping[str, str]) -> str:
        """The client that the assertion proves. It is used up, whatever becomes of the call."""
        if form.get("client_assertion_type") != _BY_KEY:
            raise _nobody("The client_assertion_type is missing or not supported.")
        assertion = form.get("client_assertion", "")
        try:
            client_id = unverified(assertion).claims.get("iss")
        except JwsError as error:
            raise _nobody("The client_assertion is malformed.") from error
        if not isinstance(client_id, str) or client_id not in self._clients:
            raise _nobody("Invalid value for 'client_id' parameter.")
        self._check(self._claims(assertion, client_id), client_id)
        return client_id

    def _claims(self, assertion: str, client_id: str) -> dict[str, object]:
        for key in self._keys[client_id]:
            try:
                return verified(assertion, key).claims
            except JwsError:
                continue
        raise _nobody("The client_assertion signature is invalid.")

    def _check(self, claims: Mapping[str, object], client_id: str) -> None:
        now = self._clock.now() / 1e6
        audience, ends, name = claims.get("aud"), claims.get("exp"), claims.get("jti")
        if claims.get("sub") != client_id:
            raise _nobody("The client_assertion's 'sub' must be the client_id.")
        if self._url not in (audience if isinstance(audience, list) else [audience]):
            raise _nobody(f"The client_assertion's 'aud' must be {self._url}.")
        if not isinstance(ends, int | float) or ends <= now - _LEEWAY:
            raise _nobody("The client_assertion token is expired.")
        if ends > now + _LONGEST + _LEEWAY:
            raise _nobody("The client_assertion token has an expiration too far into the future.")
        if isinstance(name, str) and not self._used.use(f"{client_id} {name}", now=now, until=ends + _LEEWAY):
            raise _nobody("The client_assertion token has already been used.")


def _scopes(client: ClientSettings, wanted: str) -> frozenset[str]:
    scopes = frozenset(wanted.split())
    if not scopes:
        raise OAuthError(400, "invalid_scope", "The 'scope' parameter must be provided.")
    if not scopes <= frozenset(client.scopes):
        refused = ", ".join(sorted(scopes - frozenset(client.scopes)))
        raise OAuthError(400, "invalid_scope", f"The app is not granted these scopes: {refused}.")
    return scopes


def _nobody(why: str) -> OAuthError:
    return OAuthError(401, "invalid_client", why)
