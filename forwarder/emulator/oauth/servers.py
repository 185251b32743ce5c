"""The authorization servers of the org: their metadata, their key, and the id tokens that they sign.

The issuer of the org's own server is the org's URL. The issuer of a custom server is `{url}/oauth2/{id}`. All
servers sign with the same key.
"""

import secrets
from collections.abc import Collection
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options

from forwarder.emulator.http.errors import not_found

CIBA_GRANT = "urn:openid:params:grant-type:ciba"


class AuthorizationServers:
    """The authorization servers of one org: the org's own server, the custom server `default`, and a custom
    server for each of `ids`."""

    def __init__(self, org_url: str, ids: Collection[str]) -> None:
        self._org_url = org_url
        self._ids = {"default", *ids}
        self._kid = secrets.token_urlsafe(32)

    def base(self, server: str | None) -> str:
        """Return the base URL of the endpoints of `server`; None stands for the org's own server.

        Raises:
            OktaApiError: the org does not have this server.
        """
        if server is None:
            return f"{self._org_url}/oauth2"
        if server not in self._ids:
            raise not_found(f"{server} (AuthorizationServer)")
        return f"{self._org_url}/oauth2/{server}"

    def issuer(self, server: str | None) -> str:
        """Return the issuer (`iss`) in the tokens of a server."""
        return self._org_url if server is None else self.base(server)

    def metadata(self, server: str | None) -> dict[str, Any]:
        """Build a server's metadata, as `/.well-known/openid-configuration` shows it."""
        base = self.base(server)
        return {
            "issuer": self.issuer(server),
            "authorization_endpoint": f"{base}/v1/authorize",
            "token_endpoint": f"{base}/v1/token",
            "jwks_uri": f"{base}/v1/keys",
            "backchannel_authentication_endpoint": f"{base}/v1/bc/authorize",
            "backchannel_token_delivery_modes_supported": ["poll"],
            "backchannel_authentication_request_signing_alg_values_supported": ["RS256", "ES256"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials", CIBA_GRANT],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            "claims_supported": ["iss", "sub", "aud", "iat", "exp", "jti", "auth_time", "amr", "email"],
        }

    def keys(self, server: str | None) -> dict[str, Any]:
        """Build the JWKS of a server."""
        self.base(server)
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{"kty": "RSA", "alg": "RS256", "kid": self._kid, "use": "sig", "e": key["e"], "n": key["n"]}]}

    def sign(self, server: str | None, claims: dict[str, Any]) -> str:
        """Return a signed JWT with `claims` and with the issuer of `server`."""
        headers = {"kid": self._kid}
        return jwt.encode({"iss": self.issuer(server), **claims}, self._key, "RS256", headers)

    def subject(self, token: str) -> str | None:
        """Return the `sub` of a token that the org's key signed, even if the token has expired; None for any
        other token."""
        checks: Options = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._key.public_key(), ["RS256"], options=checks)
        except jwt.PyJWTError:
            return None
        return str(claims.get("sub"))

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        """The signing key. The key is created on first use, because creating a key takes a tenth of a second."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
