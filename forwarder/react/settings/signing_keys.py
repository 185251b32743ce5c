"""The keys that sign security event tokens, and the set of public keys (JWKS) by which a receiver checks them."""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ALGORITHM = "RS256"
"""The only algorithm that Okta accepts."""

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a JWK that are secret."""

_SHORTEST = 2048
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
        ValueError: `text` is not such a key; the message says why and what to do, and shows nothing of the key.
    """
    private, public = _read(text)
    if private is None:
        raise ValueError(f"is a public key; write the private key that belongs to it, or {_MAKE}")
    return SigningKey(_key_id(text, public), private)


def public_jwk(text: str) -> dict[str, str]:
    """Return the public part of a private or public key, in the form that a receiver reads.

    Raises:
        ValueError: `text` is not an RSA key of at least 2048 bits.
    """
    _, public = _read(text)
    return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": _key_id(text, public), **_members(public)}


def key_set(texts: Sequence[str]) -> bytes:
    """Return a JWKS with the public parts of these keys.

    Raises:
        ValueError: one of the texts is not an RSA key of at least 2048 bits.
    """
    return msgspec.json.encode({"keys": [public_jwk(text) for text in texts]})


def _key_id(text: str, public: "RSAPublicKey") -> str:
    """Return the `kid` of a JWK. Without a `kid`, return the thumbprint by RFC 7638, which is the same after each
    start."""
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


@lru_cache(8)
def _read(text: str) -> "tuple[RSAPrivateKey | None, RSAPublicKey]":
    """Return the private key and the public key; the private key is None if `text` has only a public key.

    The last results are cached, because the check of an RSA key takes 0.1 s. The settings are
    loaded outside the event loop and check the keys, so that later calls in the loop find the result.
    """
    # Imported only where keys are configured.
    rsa = import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    if "ENCRYPTED" in text.partition("\n")[0] or "Proc-Type: 4,ENCRYPTED" in text:
        raise ValueError("has a password; write the key without one: openssl pkey -in KEY -out set.pem")
    try:
        key = _jwk(text) if text.lstrip().startswith("{") else _pem(text)
    except Exception:  # noqa: BLE001  # two libraries read the key, each with its own errors; some show the key
        raise ValueError(f"is neither PEM nor JWK; {_MAKE}") from None
    private = key if isinstance(key, rsa.RSAPrivateKey) else None
    public = private.public_key() if private else key
    if not isinstance(public, rsa.RSAPublicKey):
        raise ValueError(f"is not an RSA key, but Okta accepts only RS256; {_MAKE}")  # noqa: TRY004
    if public.key_size < _SHORTEST:
        raise ValueError(f"has {public.key_size} bits, and at least {_SHORTEST} are required; {_MAKE}")
    return private, public


def _jwk(text: str) -> Any:
    return import_module("jwt").PyJWK.from_json(text).key


def _pem(text: str) -> Any:
    pem = import_module("cryptography.hazmat.primitives.serialization")
    data = text.strip().encode()
    if b"PUBLIC KEY" in data.partition(b"\n")[0]:
        return pem.load_pem_public_key(data)
    return pem.load_pem_private_key(data, password=None)
