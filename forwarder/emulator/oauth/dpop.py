"""DPoP (RFC 9449): each call proves that the caller holds the private key that the token is bound to."""

import hashlib
import secrets
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.utils import base64url_encode

from forwarder.core.errors import ForwarderError
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.core.urls import same_url
from forwarder.emulator.http.errors import ApiError, oauth_error

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""The signature algorithms that Okta accepts."""

_LEEWAY = 300.0
"""How far the time in a proof may differ from the org's time, in seconds."""

_NONCE_INTERVAL = 86_400.0
_NONCE_LIFETIME = 3 * 86_400.0

_KEY_ERRORS = (jwt.PyJWTError, KeyError, ValueError, TypeError, NotImplementedError)
"""What PyJWT raises for a key or a token that it cannot read. It raises NotImplementedError for a JWK with
the `alg` `none`."""

_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
"""The members of a JWK that only a private key has."""


class KeyFormatError(ForwarderError):
    """The text is not a usable key."""


class ReplayCache:
    """Remembers ids that may be used only once, until the tokens with these ids have expired."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, name: str, *, now: float, until: float) -> bool:
        """Mark an id as used until the time `until`. Return False if the id is already marked, else True.

        Times are in seconds since 1970.
        """
        if len(self._until) > 10_000:
            self._until = {known: end for known, end in self._until.items() if end > now}
        if self._until.get(name, 0.0) > now:
            return False
        self._until[name] = until
        return True


class ProofValidator:
    """Checks proofs and issues nonces."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used = ReplayCache()
        self._nonces: list[tuple[float, str]] = []

    def check(self, proof: str | None, method: str, url: str, *, token: str | None = None) -> tuple[Any, Any]:
        """Check the proof in a call's `DPoP` header. Return the public key and the nonce of the proof; the nonce is
        None if the proof has no nonce.

        `url` must not have a query. If `token` is given, the proof must contain the hash of `token`. A call that asks
        for an access token has no `token` yet.

        Raises:
            ApiError: the proof is invalid for this call.
        """
        if proof is None:
            raise _invalid("The DPoP proof JWT header is missing.")
        key, claims = _verified(proof)
        if claims.get("htm") != method:
            raise _invalid("The DPoP proof JWT's 'htm' claim does not match the method of the request.")
        if not same_url(claims.get("htu"), url):
            raise _invalid("The DPoP proof JWT's 'htu' claim does not match the URL of the request, without its query.")
        token_hash = token and base64url_encode(hashlib.sha256(token.encode()).digest()).decode()
        if token is not None and claims.get("ath") != token_hash:
            raise _invalid("The DPoP proof JWT's 'ath' claim does not match the access token.")
        now, issued, jti = self._clock.now() / SECOND, claims.get("iat"), claims.get("jti")
        # No arithmetic with `issued`: it may be too large for a float.
        if not isinstance(issued, int | float) or not now - _LEEWAY <= issued <= now + _LEEWAY:
            raise _invalid("The DPoP proof JWT's 'iat' claim is missing, too old or in the future.")
        if not isinstance(jti, str) or not jti:
            raise _invalid("The DPoP proof JWT's 'jti' claim is missing.")
        if not self._used.add(jti, now=now, until=issued + 2 * _LEEWAY):
            raise _invalid("The DPoP proof JWT has already been used.")
        return key, claims.get("nonce")

    def require_nonce(self, nonce: Any) -> None:
        """Check that the org issued this nonce. The org issues a new nonce each day; a nonce is valid for
        three days.

        Raises:
            ApiError: the nonce is missing or invalid; the error's headers contain the current nonce.
        """
        now = self._clock.now() / SECOND
        self._nonces = [each for each in self._nonces if each[0] > now - _NONCE_LIFETIME]
        if not self._nonces or self._nonces[-1][0] <= now - _NONCE_INTERVAL:
            self._nonces.append((now, secrets.token_urlsafe(24)))
        if nonce not in [each for _, each in self._nonces]:
            reason = "Authorization server requires nonce in DPoP proof."
            raise oauth_error(400, "use_dpop_nonce", reason, {"dpop-nonce": self._nonces[-1][1]})


def read_key(text: str) -> Any:
    """Read a public key, or the public half of a private key, from PEM or JWK.

    Raises:
        KeyFormatError: `text` is not an RSA or EC key.
    """
    try:
        if text.lstrip().startswith("{"):
            key = jwt.PyJWK.from_json(text).key
        elif " PRIVATE KEY-----" in text:
            key = serialization.load_pem_private_key(text.strip().encode(), password=None)
        else:
            key = serialization.load_pem_public_key(text.strip().encode())
    except _KEY_ERRORS as error:
        raise KeyFormatError(
            "the file contains no key in PEM or JWK format; write the key in one of these formats"
        ) from error
    key = key.public_key() if hasattr(key, "public_key") else key
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        raise KeyFormatError("the key must be an RSA key or an EC key; use a key of one of these two types")
    return key


def _verified(proof: str) -> tuple[Any, dict[str, Any]]:
    """Return the public key in a proof and the proof's claims, after checking the signature with that key."""
    try:
        header = jwt.get_unverified_header(proof)
        jwk = header.get("jwk")
        if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS:
            raise _invalid("The DPoP proof JWT's 'typ' must be dpop+jwt, and its 'alg' must be supported.")
        if not isinstance(jwk, dict) or jwk.keys() & _PRIVATE:
            raise _invalid("The DPoP proof JWT must carry a public 'jwk' and no private one.")
        key = jwt.PyJWK(jwk).key
        return key, msgspec.json.decode(jwt.PyJWS().decode(proof, key, ALGORITHMS), type=dict[str, Any])
    except _KEY_ERRORS as error:
        raise _invalid("The DPoP proof JWT is malformed, or its signature is invalid.") from error


def _invalid(reason: str) -> ApiError:
    return oauth_error(400, "invalid_dpop_proof", reason)
