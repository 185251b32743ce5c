"""The keys that sign security event tokens, and the set of public keys (JWKS) by which a receiver checks them."""

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from forwarder.config.rsa_keys import private_rsa_key, rsa_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ALGORITHM = "RS256"
"""The only algorithm that Okta accepts."""

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a JWK that are secret."""

_MAKE = "make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out set.pem"


class SigningKey(msgspec.Struct, frozen=True):
    """A private key and its id. `repr` shows the id only."""

    kid: str
    private: "RSAPrivateKey"

    def __repr__(self) -> str:
        return f"SigningKey({self.kid!r})"


def signing_key(text: str) -> SigningKey:
    """Read an RSA private key of at least 2048 bits, as PEM or JWK.

    Raises:
        ValueError: `text` is not an RSA private key of at least 2048 bits. The message says why and what to do, and
            shows nothing of the key.
    """
    private = private_rsa_key(text, _MAKE)
    return SigningKey(_key_id(text, private.public_key()), private)


def public_jwk(text: str) -> dict[str, str]:
    """Return the public part of a private or public key as a JWK.

    Raises:
        ValueError: `text` is not an RSA key of at least 2048 bits.
    """
    _, public = rsa_key(text, _MAKE)
    return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": _key_id(text, public), **_members(public)}


def key_set(texts: Sequence[str]) -> bytes:
    """Return a JWKS with the public parts of the keys `texts`.

    Raises:
        ValueError: one of the texts is not an RSA key of at least 2048 bits.
    """
    return msgspec.json.encode({"keys": [public_jwk(text) for text in texts]})


def _key_id(text: str, public: "RSAPublicKey") -> str:
    """Return the key's `kid` if the key is a JWK with a `kid`; else return the thumbprint of the public key by RFC
    7638. The thumbprint of a key never changes."""
    if text.lstrip().startswith("{") and isinstance(kid := msgspec.json.decode(text).get("kid"), str) and kid:
        return kid
    members = _members(public)
    canonical = msgspec.json.encode({"e": members["e"], "kty": "RSA", "n": members["n"]})
    return _base64url(hashlib.sha256(canonical).digest())


def _members(public: "RSAPublicKey") -> dict[str, str]:
    numbers = public.public_numbers()
    return {name: _base64url(_bytes(value)) for name, value in (("n", numbers.n), ("e", numbers.e))}


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
