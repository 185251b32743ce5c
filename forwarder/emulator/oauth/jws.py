"""Signed JSON, as callers prove with it who they are: keys, signatures, thumbprints, and what was used up already."""

import base64
import hashlib
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from jwt.types import JWKDict

from forwarder.core.errors import ForwarderError

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""What Okta takes."""

_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}
"""The members of a public key that make up its thumbprint (RFC 7638), in their order."""


class JwsError(ForwarderError):
    """A key that is none, or signed JSON that does not hold."""


class Signed(msgspec.Struct, frozen=True):
    """Signed JSON, taken apart.

    Attributes:
        header: what it says of itself.
        claims: what it says.
    """

    header: dict[str, Any]
    claims: dict[str, Any]


def read_key(text: str) -> Any:
    """A public key, from PEM or JWK; of a private one, its public half.

    Raises:
        JwsError: it is none.
    """
    try:
        if text.lstrip().startswith("{"):
            return public_key(msgspec.json.decode(text, type=dict[str, Any]))
        pem = text.strip().encode()
        if b" PRIVATE KEY-----" in pem:
            return serialization.load_pem_private_key(pem, password=None).public_key()
        return serialization.load_pem_public_key(pem)
    except (ValueError, TypeError) as error:
        raise JwsError("this is no key; give PEM or JWK") from error


def public_key(jwk: dict[str, Any]) -> Any:
    """The key of a JWK, private members left aside.

    Raises:
        JwsError: it is none.
    """
    try:
        members: JWKDict = {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}
        return jwt.PyJWK(members).key
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise JwsError("the key is neither RSA nor EC") from error


def thumbprint(jwk: dict[str, Any]) -> str:
    """The name of a key, by RFC 7638; `jwk` is one that `public_key` takes."""
    return digest(msgspec.json.encode({name: jwk[name] for name in _MEMBERS[jwk["kty"]]}))


def digest(content: bytes) -> str:
    """SHA-256, as JOSE writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def unverified(token: str) -> Signed:
    """What `token` says, whoever signed it.

    Raises:
        JwsError: it is no signed JSON.
    """
    return _decode(token, None)


def verified(token: str, key: Any) -> Signed:
    """What `token` says, if `key` signed it.

    Raises:
        JwsError: it did not, or `token` is no signed JSON.
    """
    return _decode(token, key)


def _decode(token: str, key: Any) -> Signed:
    jws = jwt.PyJWS()
    try:
        if key is None:
            whole = jws.decode_complete(token, options={"verify_signature": False})
        else:
            whole = jws.decode_complete(token, key, algorithms=ALGORITHMS)
        claims = msgspec.json.decode(whole["payload"], type=dict[str, Any])
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise JwsError(str(error)) from error
    return Signed(whole["header"], claims)


class Used:
    """Ids that may be used once. An id is forgotten when what carried it is too old to be taken anyway."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def use(self, what: str, *, now: float, until: float) -> bool:
        """Use `what` up; False when it was used before. `now` and `until` are seconds since 1970."""
        if len(self._until) > 10_000:
            self._until = {name: end for name, end in self._until.items() if end > now}
        if self._until.get(what, 0.0) > now:
            return False
        self._until[what] = until
        return True
