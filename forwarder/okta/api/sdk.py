"""The official SDK, as far as it is used: its request executor, with tokens, private_key_jwt and DPoP.

Its typed client is left alone, and JSON is read raw:

- `okta.client` imports 170 APIs and their models: 4 to 6 s and 110 MB, against 1 s and 31 MB for the request executor.
- Its models drop fields that they do not know, and refuse values that their enums lack: `'CERTIFICATE' is not a valid
  LogCredentialType` once stopped everybody who read a System Log. Events are stored byte for byte here.
- Its configuration is merged with ~/.okta/okta.yaml and OKTA_CLIENT_* of the environment.

What is switched off, because it is done in `client.py`: its retries (they sleep until the limit's reset, however far that
is, give up where a 503 comes without that header, and hide how often) and its cache (it would answer a look at a hook
with the last look).
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

_RENEW = 5  # minutes before its end, a token is replaced
_FOREVER = (
    100 * 365 * 86_400
)  # seconds; the SDK never rotates the DPoP key, it only warns with each call that it is old


class Credentials(msgspec.Struct, frozen=True):
    """What the org is shown, in clear: never logged, never part of an error.

    Attributes:
        token: an API token, or None for a service app.
        client_id: of the service app.
        private_key: of the service app: PEM or JWK.
        key_id: of the private key, where Okta knows several.
        scopes: what the service app asks for.
        dpop: whether tokens are bound to a key of this process.
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
    """The SDK's request executor. It takes 1 s to import and, with DPoP, another 1 or 2 to make a key: call it in a thread.

    Args:
        origin: scheme and host of the org.
        credentials: to show.
        transport: to speak through.

    Raises:
        OktaError: the private key cannot be used.
    """
    # What it logs is told by our errors; a nonce asked for, as happens each hour, is an ERROR to it.
    logging.getLogger("okta-sdk-python").setLevel(logging.CRITICAL)
    client: dict[str, Any] = {
        "orgUrl": origin,
        "userAgent": f"okta-forwarder/{version('okta-forwarder')}",
        "rateLimit": {"maxRetries": 0},
        "requestTimeout": 0,  # it is looked at between retries alone; `Transport` has its own
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
            "dpopKeyRotationInterval": _FOREVER,
        }
    make: Callable[..., Any] = import_module("okta.request_executor").RequestExecutor
    no_cache = import_module("okta.cache.no_op_cache").NoOpCache()
    made = make({"client": client}, no_cache, http_client=lambda _: transport)
    if credentials.token is None and credentials.dpop:
        _load_dpop_key(made)
    return made


def _private_key(text: str) -> str | dict[str, str]:
    """The key as the SDK takes it: it reads a JWK as a Python literal, and wants nothing but strings in it.

    Raises:
        OktaError: it is none that the SDK can sign with. The text says nothing of the key.
    """
    key: str | dict[str, str] = text
    try:
        if text.lstrip().startswith("{"):
            key = {name: value for name, value in json.loads(text).items() if isinstance(value, str)}
        import_module("okta.jwt").JWT.get_PEM_JWK(key)
    except Exception:  # noqa: BLE001 - three libraries read it, each with errors of its own; some show the key
        raise OktaError(
            "api.private_key is no RSA private key without a password, as PEM or JWK, which is what the official SDK"
            " signs with; make one under Applications > (the app) > General > Client Credentials"
        ) from None
    return key


class _LoadedKey:
    """A DPoP key that is read once. The SDK writes its key as PEM for every call and lets PyJWT read it again, which
    checks the primes: 120 ms that hold the whole process, for each page of a log."""

    def __init__(self, pem: bytes) -> None:
        serialization = import_module("cryptography.hazmat.primitives.serialization")
        self._key = serialization.load_pem_private_key(pem, None)

    def export_key(self) -> Any:
        """What PyJWT signs with."""
        return self._key


def _load_dpop_key(made: Any) -> None:
    """Spare the SDK's DPoP the reading of its key. Where a later SDK keeps it elsewhere, calls only get slower."""
    generator = getattr(getattr(made, "_oauth", None), "_dpop_generator", None)
    key = getattr(generator, "_rsa_key", None)
    if generator is not None and key is not None:
        generator._rsa_key = _LoadedKey(key.export_key())  # noqa: SLF001 - there is no door to it
