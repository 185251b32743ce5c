"""Authenticates the apps that call OAuth's endpoints: by a signed assertion, or by a secret."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import jwt
from jwt.types import Options

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.core.urls import same_url
from forwarder.emulator.http.errors import ApiError, oauth_error
from forwarder.emulator.oauth.dpop import ALGORITHMS, ReplayCache, read_key
from forwarder.emulator.settings import ClientSettings

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_LIFETIME = 3600
"""How far in the future an assertion may expire, in seconds."""

_LEEWAY = 60.0
"""How far the caller's clock may differ from the org's clock, in seconds."""


class ClientAuthenticator:
    """Authenticates the apps of an org.

    Raises:
        KeyFormatError: the text of an app's key is not a key.
    """

    def __init__(self, clients: Mapping[str, ClientSettings], clock: Clock) -> None:
        self._clients = clients
        self._clock = clock
        self._keys = {
            client_id: [read_key(key.reveal()) for key in client.keys] for client_id, client in clients.items()
        }
        self._assertions = ReplayCache()

    def client(self, form: Mapping[str, str], authorization: str | None, url: str) -> str:
        """Authenticate an app by private_key_jwt, client_secret_basic or client_secret_post. Return its client id.

        `authorization` is the `Authorization` header of the call, and `url` the URL of the endpoint that is called.

        Raises:
            ApiError: the app is unknown, or its credentials are invalid.
        """
        if "client_assertion" in form or "client_assertion_type" in form:
            return self.by_assertion(form, url)
        if authorization is not None:
            scheme, _, value = authorization.partition(" ")
            try:
                client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                scheme = client_id = secret = ""
            if scheme.lower() != "basic":
                raise _invalid_client("Found Authentication header but was not valid client credentials.")
            return self._by_secret(unquote_plus(client_id), unquote_plus(secret))
        if "client_secret" in form:
            return self._by_secret(form.get("client_id", ""), form["client_secret"])
        raise _invalid_client("No client credentials found.")

    def by_assertion(self, form: Mapping[str, str], url: str) -> str:
        """Authenticate an app by the form's signed assertion, and return its client id.

        The audience of the assertion must be `url`, the URL of the endpoint that is called. An assertion with a `jti`
        is valid only once.

        Raises:
            ApiError: the assertion is missing or invalid.
        """
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            raise _invalid_client("The client_assertion_type is missing or not supported.")
        assertion = form.get("client_assertion", "")
        try:
            client_id = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError as error:
            raise _invalid_client("The parsing of the client_assertion failed.") from error
        if not isinstance(client_id, str) or client_id not in self._clients:
            raise _invalid_client("The issuer claim for client_assertion is not a valid client_id.")
        claims = self._verified(assertion, client_id, url)
        now, expires, jti = self._clock.now() / SECOND, claims.get("exp"), claims.get("jti")
        if not isinstance(expires, int | float):
            raise _invalid_client("The client_assertion must contain the 'exp' claim as seconds since epoch.")
        if expires <= now - _LEEWAY:
            raise _invalid_client("The client_assertion token is expired.")
        if expires > now + _LIFETIME + _LEEWAY:
            raise _invalid_client("The client_assertion token has an expiration too far into the future.")
        if isinstance(jti, str) and not self._assertions.add(f"{client_id} {jti}", now=now, until=expires + _LEEWAY):
            raise _invalid_client("The client_assertion token has already been used.")
        return client_id

    def request_object(self, text: str, client_id: str, issuer: str) -> dict[str, str]:
        """Return the parameters in the JWT `text`, a signed CIBA request of an authenticated app.

        The request is valid only once. Its audience must be `issuer`, the issuer of the server that was called.

        Raises:
            ApiError: the JWT is invalid.
        """
        unverified: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            algorithm = jwt.get_unverified_header(text)["alg"]
            claims = jwt.decode(text, options={"verify_signature": False})
        except (jwt.PyJWTError, KeyError) as error:
            raise _invalid_request_object("The request object cannot be parsed.") from error
        if claims.get("iss") != client_id:
            raise _invalid_client("The issuer of the request object is invalid.")
        if algorithm != self._clients[client_id].request_alg:
            raise _invalid_request_object("The signing algorithm used is not supported by this client.")
        for key in self._keys[client_id]:
            try:
                jwt.decode(text, key, [algorithm], unverified, audience=issuer)
                break
            except jwt.InvalidAudienceError as error:
                raise _invalid_request_object("The audience of the request object is invalid.") from error
            except (jwt.PyJWTError, TypeError):
                continue
        else:
            raise _invalid_request_object("The signature of the request object is invalid.")
        now, expires, jti = self._clock.now() / SECOND, claims.get("exp"), claims.get("jti")
        if not isinstance(expires, int | float) or expires <= now - _LEEWAY:
            raise _invalid_request_object("The request object is expired.")
        if expires > now + _LIFETIME + _LEEWAY:
            raise _invalid_request_object("The request object expires too far in the future.")
        used = f"request {client_id} {jti}"
        if not isinstance(jti, str) or not self._assertions.add(used, now=now, until=expires + _LEEWAY):
            raise _invalid_request_object("The request object has already been used.")
        return {name: str(value) for name, value in claims.items()}

    def _verified(self, assertion: str, client_id: str, url: str) -> dict[str, Any]:
        """Return the claims of an assertion. Raise ApiError if no key of the client signed the assertion, or
        if its audience is not `url`."""
        # PyJWT compares times with the system's clock; `by_assertion` compares them with the org's clock.
        # PyJWT compares audiences letter by letter; Okta also accepts the default port `:443`.
        options: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        for key in self._keys[client_id]:
            try:
                claims = jwt.decode(assertion, key, ALGORITHMS, options, subject=client_id)
            except jwt.exceptions.InvalidSubjectError as error:
                raise _invalid_client("The subject claim for client_assertion is not a valid client_id.") from error
            except (jwt.PyJWTError, TypeError):
                continue
            audiences = claims.get("aud")
            for audience in audiences if isinstance(audiences, list) else [audiences]:
                if same_url(audience, url):
                    return claims
            raise _invalid_client(
                "The audience claim for client_assertion must be the endpoint invoked for the request."
            )
        raise _invalid_client("The client_assertion signature is invalid.")

    def _by_secret(self, client_id: str, secret: str) -> str:
        client = self._clients.get(client_id)
        if client is None:
            raise _invalid_client("Invalid value for 'client_id' parameter.")
        expected = client.secret.reveal() if client.secret else ""
        if not expected or not hmac.compare_digest(expected.encode(), secret.encode()):
            raise _invalid_client("The client secret supplied for a confidential client is invalid.")
        return client_id


def _invalid_client(reason: str) -> ApiError:
    return oauth_error(401, "invalid_client", reason)


def _invalid_request_object(reason: str) -> ApiError:
    return oauth_error(400, "invalid_request_object", reason)
