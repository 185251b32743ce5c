"""DPoP (RFC 9449): the proof that a caller holds the key that its token is bound to, new for every call."""

import secrets
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.http.errors import OAuthError
from forwarder.emulator.oauth.jws import (
    ALGORITHMS,
    JwsError,
    Used,
    digest,
    public_key,
    thumbprint,
    unverified,
    verified,
)

_LEEWAY = 300.0
"""Seconds that a proof may be old, or a clock may be off."""
_NONCE_NEW = 86_400.0
_NONCE_GOOD = 3 * 86_400.0
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


class Proof(msgspec.Struct, frozen=True):
    """A proof that holds.

    Attributes:
        key: thumbprint of the key.
        nonce: that it answers, if any.
    """

    key: str
    nonce: str | None


class Proofs:
    """Looks at proofs, and gives nonces.

    Args:
        clock: what time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used = Used()
        self._nonces: list[tuple[float, str]] = []

    def check(self, proof: str | None, method: str, url: str, *, token: str | None = None) -> Proof:
        """Check the `DPoP` header of a call.

        Args:
            proof: the header; None where there was none.
            method: of the call.
            url: of the call; its query does not count.
            token: that the call carries, whose hash the proof must name; None for a call that wants one.

        Raises:
            OAuthError: the proof does not hold for this call.
        """
        if proof is None:
            raise _wrong("The DPoP proof JWT header is missing.")
        signed = self._signed(proof)
        claims = signed.claims
        if claims.get("htm") != method:
            raise _wrong("The DPoP proof JWT's 'htm' claim does not match the method of the request.")
        if claims.get("htu") != url:
            raise _wrong(
                "The DPoP proof JWT's 'htu' claim does not match the URL of the request, without its query."
            )
        if token is not None and claims.get("ath") != digest(token.encode()):
            raise _wrong("The DPoP proof JWT's 'ath' claim does not match the access token.")
        self._use(claims)
        nonce = claims.get("nonce")
        return Proof(thumbprint(signed.header["jwk"]), nonce if isinstance(nonce, str) else None)

    def demand(self, proof: Proof) -> None:
        """Have a proof answer a nonce of ours: a new one a day, each good for three.

        Raises:
            OAuthError: it answers none; the error carries one.
        """
        now = self._clock.now() / 1e6
        self._nonces = [(made, nonce) for made, nonce in self._nonces if made > now - _NONCE_GOOD]
        if not self._nonces or self._nonces[-1][0] <= now - _NONCE_NEW:
            self._nonces.append((now, secrets.token_urlsafe(24)))
        if proof.nonce not in [nonce for _, nonce in self._nonces]:
            told = "Authorization server requires nonce in DPoP proof."
            raise OAuthError(400, "use_dpop_nonce", told, {"dpop-nonce": self._nonces[-1][1]})

    def _signed(self, proof: str) -> Any:
        """The proof, which must be signed by the key that it shows."""
        try:
            header = unverified(proof).header
            jwk = header.get("jwk")
            if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS:
                raise _wrong("The DPoP proof JWT's 'typ' must be dpop+jwt, and 'alg' one that is supported.")
            if not isinstance(jwk, dict) or jwk.keys() & _PRIVATE:
                raise _wrong("The DPoP proof JWT must carry a public 'jwk' and no private one.")
            return verified(proof, public_key(jwk))
        except JwsError as error:
            raise _wrong("The DPoP proof JWT is malformed, or its signature is invalid.") from error

    def _use(self, claims: dict[str, Any]) -> None:
        now = self._clock.now() / 1e6
        made, name = claims.get("iat"), claims.get("jti")
        if not isinstance(made, int | float) or abs(now - made) > _LEEWAY:
            raise _wrong("The DPoP proof JWT's 'iat' claim is missing, too old or in the future.")
        if not isinstance(name, str) or not name:
            raise _wrong("The DPoP proof JWT's 'jti' claim is missing.")
        if not self._used.use(name, now=now, until=made + 2 * _LEEWAY):
            raise _wrong("The DPoP proof JWT has already been used.")


def _wrong(why: str) -> OAuthError:
    return OAuthError(400, "invalid_dpop_proof", why)
