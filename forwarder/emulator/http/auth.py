"""Who may call which of Okta's paths.

| shown | may |
|---|---|
| `SSWS <token>` | all |
| `Bearer <token>`, `DPoP <token>` with a proof | what the token's scopes allow, if the app has an admin role |
"""

import hmac

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.http.errors import OAuthError, bad_access_token, bad_token, forbidden, lacks_scope
from forwarder.emulator.http.rate_limits import Budgets
from forwarder.emulator.oauth.dpop import Proofs
from forwarder.emulator.oauth.tokens import Tokens
from forwarder.emulator.settings import EmulatorSettings


class Call(msgspec.Struct, frozen=True):
    """One call of Okta's API.

    Attributes:
        method: of HTTP.
        path: without the query.
        authorization: the header; empty where there was none.
        proof: the `DPoP` header; None where there was none.
    """

    method: str
    path: str
    authorization: str
    proof: str | None


class Admission:
    """Keeps the door of one org.

    Args:
        settings: who is known.
        clock: what time it is.

    Attributes:
        tokens: what the org gave.
        budgets: how much callers may call.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._proofs = Proofs(clock)
        self.tokens = Tokens(settings, clock, self._proofs)
        self.budgets = Budgets(settings, clock)

    def principal(self, call: Call) -> str:
        """Who calls, for the rate limits.

        Raises:
            OktaApiError: nobody who may.
            OAuthError: as OAuth words it.
        """
        if call.authorization[:4].upper() == "SSWS":
            # Okta's own client for Python (3.4) sends no space behind SSWS, and works.
            shown = call.authorization[4:].removeprefix(" ")
            if not hmac.compare_digest(shown.encode(), self._settings.token.reveal().encode()):
                raise bad_token()
            return "the token"
        scheme, _, shown = call.authorization.partition(" ")
        if scheme.lower() in {"bearer", "dpop"}:
            return self._service(call, shown, bound=scheme.lower() == "dpop")
        raise bad_token()

    def _service(self, call: Call, shown: str, *, bound: bool) -> str:
        token = self.tokens.find(shown)
        if token is None:
            raise bad_access_token("The access token is invalid or has expired.")
        if bound != (token.key is not None):
            raise bad_access_token("A token that is bound to a key is sent as DPoP, any other as Bearer.")
        if bound:
            url = self._settings.url + call.path
            if self._proofs.check(call.proof, call.method, url, token=shown).key != token.key:
                raise OAuthError(401, "invalid_dpop_key_binding", "The access token is bound to another key.")
        if scope(call.method, call.path) not in token.scopes:
            raise lacks_scope()
        if not self._settings.clients[token.client_id].admin:
            raise forbidden()
        return token.client_id


def scope(method: str, path: str) -> str:
    """The scope that Okta's documentation names for this call."""
    if path.startswith("/api/v1/logs"):
        return "okta.logs.read"
    return "okta.eventHooks.read" if method == "GET" else "okta.eventHooks.manage"
