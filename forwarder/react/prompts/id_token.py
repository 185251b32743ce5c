"""Checks the id_token that proves who approved a CIBA prompt: its signature, issuer, app and user."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer
from forwarder.react.prompts.oauth import AuthorizationServer

_LEEWAY = 60
"""Seconds by which our clock and Okta's may differ."""

_KEYS_FOR = 600.0
"""How many seconds the server's keys are cached. After that, a key that the server has withdrawn is refused."""

_WRONG = {
    "InvalidSignatureError": "its signature is wrong",
    "InvalidAudienceError": "it is for another app",
    "InvalidIssuerError": "it is from another issuer",
    "InvalidAlgorithmError": "it is not signed with RS256",
    "MissingRequiredClaimError": "it lacks a claim",
}


class IdTokens:
    """Checks id_tokens of one authorization server. Caches the public keys of the server, but does not keep tokens."""

    def __init__(self, server: AuthorizationServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._loaded_at: float | None = None

    async def load_keys(self) -> Answer | None:
        """Fetch the server's keys if the cached keys are too old. Return None if the cache now has keys that are fresh
        enough; else return Okta's answer to the failed request."""
        now = self._clock.monotonic()
        if self._loaded_at is not None and now - self._loaded_at < _KEYS_FOR:
            return None
        answer = await self._server.get("/v1/keys")
        keys = _key_set(answer.body) if answer.ok else {}
        if not keys:
            return answer
        self._keys, self._loaded_at = keys, now
        return None

    async def problem(self, body: Any, user: str, asked: Micros) -> str:
        """Return why the response `body` does not prove that `user` has approved since the time `asked`; empty if
        `body` proves it."""
        token = body.get("id_token") if isinstance(body, dict) else None
        if not isinstance(token, str):
            return "the response has no id_token"
        jwt = import_module("jwt")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            return "it cannot be read"
        if kid not in self._keys:  # the server has changed its key
            self._loaded_at = None
            await self.load_keys()
        if kid not in self._keys:
            return "it is signed by a key that the authorization server does not publish"
        # PyJWT would compare the times with the system's clock; `_mismatch` compares them with `self._clock`.
        checks = dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf"), False)
        required = {"require": ["iss", "aud", "sub", "iat", "exp"]}
        app = self._server.app
        try:
            claims = jwt.decode(
                token, self._keys[kid], ["RS256"], checks | required, audience=app.client_id, issuer=app.issuer
            )
        except jwt.PyJWTError as error:
            return _WRONG.get(type(error).__name__, "it is not valid")
        return self._mismatch(claims, user, asked)

    def _mismatch(self, claims: Mapping[str, Any], user: str, asked: Micros) -> str:
        now, issued, expires = self._clock.now() / SECOND, claims["iat"], claims["exp"]
        if claims["sub"] != user:
            return "it is about another user"
        if not isinstance(issued, int | float) or not asked / SECOND - _LEEWAY <= issued <= now + _LEEWAY:
            return "it was issued before the user was asked, or in the future"
        if not isinstance(expires, int | float) or expires < now - _LEEWAY:
            return "it has expired"
        return ""


def _key_set(body: Any) -> dict[str, Any]:
    """Return the RSA keys of a JWKS by `kid`; keys that cannot be read are left out."""
    jwt = import_module("jwt")
    listed = body.get("keys") if isinstance(body, dict) else None
    found = {}
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(each.get("kid"), str) and each.get("kty") == "RSA":
            # Only the public part: an odd private exponent would hold the event loop for many seconds.
            public = {name: each.get(name) for name in ("kty", "n", "e")}
            try:
                found[each["kid"]] = jwt.PyJWK.from_dict(public, algorithm="RS256").key
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
    return found
