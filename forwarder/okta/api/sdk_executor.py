"""The part of Okta's official SDK that we use: the request executor, with access tokens, private_key_jwt and DPoP.

We do not use the SDK's typed client, but read the JSON ourselves, for three reasons:

- `okta.client` imports 170 APIs and their models: 4 to 6 s and 110 MB, against 1 s and 31 MB for the request executor.
- Its models drop unknown fields, and refuse values that are not in their enums: `'CERTIFICATE' is not a valid
  LogCredentialType` once stopped every reader of a System Log. The forwarder must store events byte for byte.
- It merges its configuration with ~/.okta/okta.yaml and with OKTA_CLIENT_* variables of the environment.

Two features of the executor are switched off:

- retries, which `client.py` does instead. The SDK sleeps until the rate limit resets, however long that takes. The SDK
  also gives up after a 503 that does not state the limit, and hides how many attempts it made.
- the cache, because it would answer a question about a hook with an old response.
"""

import json
import logging
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import msgspec

from forwarder.core.errors import OktaError
from forwarder.okta.api.transport import Transport

_RENEW = 5  # minutes: a token is replaced this long before it expires
# Seconds after which the SDK calls its DPoP key old. The SDK never rotates it, but would log a warning at each call.
_NEVER = 100 * 365 * 86_400


class Credentials(msgspec.Struct, frozen=True):
    """Credentials in clear text. They must never be logged or become part of an error.

    Attributes:
        token: an API token; None for a service app, which has the other attributes instead.
        private_key: the private key of the app, as PEM or JWK.
        key_id: the `kid` of the private key, needed if the app has several keys.
        scopes: the scopes to request for each access token.
        dpop: whether to bind access tokens to a key of this process.
    """

    token: str | None = None
    client_id: str = ""
    private_key: str = ""
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    dpop: bool = True

    def __repr__(self) -> str:
        return "Credentials(***)"


def executor(origin: str, credentials: Credentials, transport: Transport) -> Any:
    """Create the SDK's request executor. Call this in a thread: importing the SDK takes 1 s, and creating a key for DPoP
    another 1 or 2 s.

    Raises:
        OktaError: the private key cannot be used.
    """
    # Our errors say the same as the SDK's log. It also logs an ERROR each time that Okta requests a nonce, every hour.
    logging.getLogger("okta-sdk-python").setLevel(logging.CRITICAL)
    client: dict[str, Any] = {
        "orgUrl": origin,
        "userAgent": f"okta-forwarder/{version('okta-forwarder')}",
        "rateLimit": {"maxRetries": 0},
        "requestTimeout": 0,  # the SDK checks it only between its retries; `Transport` has its own timeout
        "oauthTokenRenewalOffset": _RENEW,
    }
    if credentials.token is not None:
        client |= {"authorizationMode": "SSWS", "token": credentials.token}
    else:
        client |= {
            "authorizationMode": "PrivateKey",
            "clientId": credentials.client_id,
            "privateKey": _private_key(credentials.private_key),
            "kid": credentials.key_id,
            "scopes": credentials.scopes,
            "dpopEnabled": credentials.dpop,
            "dpopKeyRotationInterval": _NEVER,
        }
    make: Callable[..., Any] = import_module("okta.request_executor").RequestExecutor
    no_cache = import_module("okta.cache.no_op_cache").NoOpCache()
    made = make({"client": client}, no_cache, http_client=lambda _: transport)
    if credentials.token is None and credentials.dpop:
        _load_dpop_key(made)
    return made


def _private_key(text: str) -> str | dict[str, str]:
    """Return the private key `text` in the form that the SDK expects: PEM text, or a JWK as a dict of
    strings.

    Raises:
        OktaError: the SDK cannot sign with the key. The text of the error contains no part of the key.
    """
    key: str | dict[str, str] = text
    try:
        if text.lstrip().startswith("{"):
            key = {name: value for name, value in json.loads(text).items() if isinstance(value, str)}
        import_module("okta.jwt").JWT.get_PEM_JWK(key)
    except Exception:  # noqa: BLE001  # three libraries read it, each with its own errors; some show the key
        raise OktaError(
            "the official SDK cannot use api.private_key: it needs an RSA private key without a password, as PEM or"
            " JWK; create one under Applications > (the app) > General > Client Credentials"
        ) from None
    return key


class _LoadedKey:
    """A DPoP key that is parsed only once.

    The SDK exports its own key as PEM for every call, and PyJWT parses the PEM and checks the primes each time. The
    parsing blocks the whole process for 120 ms for each page of a log.
    """

    def __init__(self, pem: bytes) -> None:
        serialization = import_module("cryptography.hazmat.primitives.serialization")
        self._key = serialization.load_pem_private_key(pem, None)

    def export_key(self) -> Any:
        """Return the private key in the form that PyJWT signs with."""
        return self._key


def _load_dpop_key(made: Any) -> None:
    """Replace the SDK's DPoP key by one that is parsed once. If a later SDK keeps the key elsewhere, nothing is
    replaced, and calls are only slower."""
    generator = getattr(getattr(made, "_oauth", None), "_dpop_generator", None)
    key = getattr(generator, "_rsa_key", None)
    if generator is not None and key is not None:
        generator._rsa_key = _LoadedKey(key.export_key())  # noqa: SLF001  # there is no public way
