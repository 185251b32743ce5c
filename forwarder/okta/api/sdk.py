"""The official SDK, as far as it is used: its request executor, with tokens, private_key_jwt and DPoP.

Its typed client is not used, and JSON is read raw:

- `okta.client` imports 170 APIs and their models: 4 to 6 s and 110 MB, against 1 s and 31 MB for the request executor.
- Its models drop fields that they do not know, and refuse values that their enums lack: `'CERTIFICATE' is not a valid
  LogCredentialType` once stopped every reader of a System Log. Events are stored byte for byte here.
- Its configuration is merged with ~/.okta/okta.yaml and OKTA_CLIENT_* of the environment.

Switched off, because `client.py` does it: its retries (they sleep until the limit's reset, however far that is, give up on
a 503 without that header, and hide how often they tried) and its cache (it would answer a question about a hook with the
last answer).
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

_RENEW = 5  # minutes before it expires, a token is replaced
# Seconds. The SDK never rotates the DPoP key, it only warns with each call that it is old.
_NEVER = 100 * 365 * 86_400


class Credentials(msgspec.Struct, frozen=True):
    """Credentials in clear: never logged, never part of an error.

    Attributes:
        token: an API token; None for a service app, which has all the others.
        client_id: the app's.
        private_key: PEM or JWK.
        key_id: `kid` of the private key, if Okta knows several.
        scopes: requested with each token.
        dpop: bind tokens to a key of this process.
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
    """Create the SDK's request executor. Importing the SDK takes 1 s, and creating a key for DPoP another 1
    or 2 s: call this in a thread.

    Raises:
        OktaError: the private key cannot be used.
    """
    # Our errors say what it logs; a requested nonce, which happens every hour, is an ERROR to it.
    logging.getLogger("okta-sdk-python").setLevel(logging.CRITICAL)
    client: dict[str, Any] = {
        "orgUrl": origin,
        "userAgent": f"okta-forwarder/{version('okta-forwarder')}",
        "rateLimit": {"maxRetries": 0},
        "requestTimeout": 0,  # checked between its retries only; `Transport` has its own
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
        OktaError: the SDK cannot sign with the key. The error's text contains nothing of the key.
    """
    key: str | dict[str, str] = text
    try:
        if text.lstrip().startswith("{"):
            key = {name: value for name, value in json.loads(text).items() if isinstance(value, str)}
        import_module("okta.jwt").JWT.get_PEM_JWK(key)
    except Exception:  # noqa: BLE001  # three libraries read it, each with its own errors; some show the key
        raise OktaError(
            "api.private_key is not an RSA private key without a password, as PEM or JWK, which the official SDK"
            " needs; create one under Applications > (the app) > General > Client Credentials"
        ) from None
    return key


class _LoadedKey:
    """A DPoP key that is parsed once. The SDK exports its key as PEM for every call and lets PyJWT parse it again, which
    checks the primes: 120 ms that block the whole process, for each page of a log."""

    def __init__(self, pem: bytes) -> None:
        serialization = import_module("cryptography.hazmat.primitives.serialization")
        self._key = serialization.load_pem_private_key(pem, None)

    def export_key(self) -> Any:
        """Return the private key in the form that PyJWT signs with."""
        return self._key


def _load_dpop_key(made: Any) -> None:
    """Let the SDK parse its DPoP key once. If a later SDK keeps it elsewhere, calls only get slower."""
    generator = getattr(getattr(made, "_oauth", None), "_dpop_generator", None)
    key = getattr(generator, "_rsa_key", None)
    if generator is not None and key is not None:
        generator._rsa_key = _LoadedKey(key.export_key())  # noqa: SLF001  # there is no public way
