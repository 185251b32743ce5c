"""Reads RSA keys, and says what is wrong with a text that is not one. No message shows a part of the text."""

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from forwarder import pem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

_SHORTEST = 2048


def private_rsa_key(text: str, make: str) -> "RSAPrivateKey":
    """Return the private RSA key in `text`, which is PEM or JWK. The key has at least 2048 bits.

    `make` says how to make a key, for the text of an error.

    Raises:
        ValueError: `text` is not a private RSA key with at least 2048 bits.
    """
    private, _ = rsa_key(text, make)
    if private is None:
        raise ValueError(f"{pem.PUBLIC}, or {make}")
    return private


@lru_cache(16)
def rsa_key(text: str, make: str) -> "tuple[RSAPrivateKey | None, RSAPublicKey]":
    """Return (private key, public key) from `text`, which is PEM or JWK. If `text` has no private key, the private key
    is None.

    `make` says how to make a key, for the text of an error. The last 16 results are cached, because the check of an RSA
    key takes 0.1 s, which would block the event loop. Settings are loaded outside the event loop, so later calls in the
    event loop find the result in the cache.

    Raises:
        ValueError: `text` is not an RSA key of at least 2048 bits.
    """
    # Imported only where keys are configured.
    rsa = import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    is_jwk = text.lstrip().startswith("{")
    if re.match(r'\{\s*"keys"\s*:', text.lstrip()):
        raise ValueError("is a set of keys (JWKS); write only one key, an item of `keys`")
    if "-----BEGIN" in text and "PUBLIC KEY" not in text and (wrong := pem.wrong_kind(text, "PRIVATE KEY")):
        raise ValueError(wrong)
    try:
        key = _jwk(text) if is_jwk else _pem(text)
    except Exception:  # noqa: BLE001  # two libraries read the key, each with its own errors; some show the key
        raise ValueError(
            f"is not a readable key in PEM or JWK format; write the whole content of the key file, or {make}"
        ) from None
    private = key if isinstance(key, rsa.RSAPrivateKey) else None
    public = private.public_key() if private else key
    if not isinstance(public, rsa.RSAPublicKey):
        raise ValueError(f"is not an RSA key, but Okta accepts only RS256; {make}")  # noqa: TRY004
    if public.key_size < _SHORTEST:
        raise ValueError(f"the key has {public.key_size} bits, but at least {_SHORTEST} bits are required; {make}")
    return private, public


def _jwk(text: str) -> Any:
    return import_module("jwt").PyJWK.from_json(text).key


def _pem(text: str) -> Any:
    keys = import_module("cryptography.hazmat.primitives.serialization")
    data = text.strip().encode()
    if b"PUBLIC KEY" in data.partition(b"\n")[0]:
        return keys.load_pem_public_key(data)
    return keys.load_pem_private_key(data, password=None)
