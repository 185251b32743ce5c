"""Authentication of callers of Okta's API.

| `Authorization` | allowed |
|---|---|
| `SSWS <token>` | everything |
| `Bearer <token>`, or `DPoP <token>` and a proof | what the token's scopes and the app's roles allow (iam/access.py) |
"""

import hmac
from collections.abc import Mapping
from urllib.parse import quote

from forwarder.core.ports import Clock
from forwarder.emulator.http.errors import insufficient_scope, invalid_token, oauth_error
from forwarder.emulator.http.rate_limits import EmulatedRateLimits
from forwarder.emulator.oauth.clients import ClientAuthenticator
from forwarder.emulator.oauth.dpop import ProofValidator
from forwarder.emulator.oauth.tokens import TokenEndpoint
from forwarder.emulator.settings import EmulatorSettings

API_TOKEN = "API token"  # noqa: S105  # a name
"""What `Authenticator.caller` returns for the API token."""

_SCOPES = {
    "logs": ("okta.logs.read", "okta.logs.read"),
    "users": ("okta.users.read", "okta.users.manage"),
    "groups": ("okta.groups.read", "okta.groups.manage"),
    "security-events-providers": ("okta.securityEventsProviders.read", "okta.securityEventsProviders.manage"),
    "iam": ("okta.roles.read", "okta.roles.manage"),
    "clients": ("okta.roles.read", "okta.roles.manage"),
    "zones": ("okta.networkZones.read", "okta.networkZones.manage"),
    "global-token-revocation": ("okta.universalLogout.manage", "okta.universalLogout.manage"),
    "eventHooks": ("okta.eventHooks.read", "okta.eventHooks.manage"),
}
"""For each path segment after `v1`: the scope for reading, and the scope for changes."""


class Authenticator:
    """Authenticates callers of one org."""

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._proofs = ProofValidator(clock)
        self.clients = ClientAuthenticator(settings.clients, clock)
        self.tokens = TokenEndpoint(settings, clock, self._proofs, self.clients)
        self.rate_limits = EmulatedRateLimits(settings, clock)

    def caller(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        """Authenticate a call; return the client id of the service app, or API_TOKEN.

        Raises:
            ApiError: the caller is unknown, or may not make this call.
        """
        authorization = headers.get("authorization", "")
        if authorization[:4].upper() == "SSWS":
            # Okta's Python SDK (3.4) sends no space after SSWS, and Okta accepts that.
            presented = authorization[4:].removeprefix(" ")
            if not hmac.compare_digest(presented.encode(), self._settings.token.reveal().encode()):
                raise invalid_token()
            return API_TOKEN
        scheme, _, presented = authorization.partition(" ")
        scheme = scheme.lower()
        if scheme not in {"bearer", "dpop"}:
            raise invalid_token()
        token = self.tokens.find(presented)
        if token is None:
            raise invalid_token("The access token is invalid or has expired.")
        if (scheme == "dpop") != (token.key is not None):
            raise invalid_token("Send a token that is bound to a key as DPoP, and any other token as Bearer.")
        if token.key is not None:
            url = self._settings.url + quote(path)
            if self._proofs.check(headers.get("dpop"), method, url, token=presented)[0] != token.key:
                raise oauth_error(401, "invalid_dpop_key_binding", "The access token is bound to another key.")
        if token.scopes.isdisjoint(_sufficient_scopes(method, path)):
            raise insufficient_scope()
        return token.client_id


def _sufficient_scopes(method: str, path: str) -> set[str]:
    """Return the scopes that allow a call; a token needs only one of these scopes. A `manage` scope also allows
    reading."""
    room = path.split("/")[3]
    read, manage = _SCOPES.get(room, _SCOPES["eventHooks"])
    if room == "users" and path.endswith("/risk"):
        read, manage = "okta.userRisk.read", "okta.userRisk.manage"
    return {read, manage} if method == "GET" else {manage}
