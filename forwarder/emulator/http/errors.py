"""Okta's error responses: one JSON object for all of its API, another one for OAuth."""

import secrets
from collections.abc import Mapping

from forwarder.core.errors import ForwarderError

_NOT_PERMITTED = "You do not have permission to perform the requested action"


class ApiError(ForwarderError):
    """A call that the org refuses.

    Attributes:
        status: HTTP status.
        headers: of the response, beside the usual ones.
    """

    def __init__(self, message: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers

    def body(self) -> dict[str, object]:
        """Return the JSON object of the response."""
        raise NotImplementedError


class OktaApiError(ApiError):
    """A refusal by Okta's API.

    Attributes:
        code: `errorCode`, the only stable part.
        summary: `errorSummary`.
        causes: one sentence each.
    """

    def __init__(
        self, status: int, code: str, summary: str, *causes: str, headers: Mapping[str, str] | None = None
    ) -> None:
        message = f"{code} {summary}: {'; '.join(causes)}" if causes else f"{code} {summary}"
        super().__init__(message, status, headers or {})
        self.code = code
        self.summary = summary
        self.causes = causes

    def body(self) -> dict[str, object]:
        """Return the JSON object of the response."""
        return {
            "errorCode": self.code,
            "errorSummary": self.summary,
            "errorLink": self.code,
            "errorId": f"oae{secrets.token_urlsafe(16)}",
            "errorCauses": [{"errorSummary": cause} for cause in self.causes],
        }


class OAuthError(ApiError):
    """A refusal in OAuth's format: `error` is the code, `error_description` the reason."""

    def __init__(self, status: int, code: str, reason: str, headers: Mapping[str, str] | None = None) -> None:
        challenge = {"www-authenticate": f'DPoP error="{code}", error_description="{reason}"'}
        super().__init__(f"{code}: {reason}", status, headers or (challenge if status == 401 else {}))
        self._body: dict[str, object] = {"error": code, "error_description": reason}

    def body(self) -> dict[str, object]:
        """Return the JSON object of the response."""
        return self._body


def invalid(what: str, *causes: str) -> OktaApiError:
    """Refuse a field or parameter that breaks a rule."""
    return OktaApiError(400, "E0000001", f"Api validation failed: {what}", *causes)


def not_json() -> OktaApiError:
    """Refuse a body that is not JSON."""
    return OktaApiError(400, "E0000003", "The request body was not well-formed.")


def invalid_token(reason: str = "") -> OktaApiError:
    """Refuse an API token, or for a `reason` an access token."""
    if not reason:
        return OktaApiError(401, "E0000011", "Invalid token provided")
    headers = _bearer_challenge("invalid_token", reason)
    return OktaApiError(401, "E0000011", "Invalid token provided", reason, headers=headers)


def forbidden(*causes: str) -> OktaApiError:
    """Refuse a call that this caller may not make, or not in this state."""
    return OktaApiError(403, "E0000006", _NOT_PERMITTED, *causes)


def insufficient_scope() -> OktaApiError:
    """Refuse a call that the token's scopes do not allow."""
    reason = "The access token provided does not contain the required scopes."
    headers = _bearer_challenge("insufficient_scope", reason)
    return OktaApiError(403, "E0000006", _NOT_PERMITTED, reason, headers=headers)


def not_found(what: str) -> OktaApiError:
    """Answer that something does not exist."""
    return OktaApiError(404, "E0000007", f"Not found: Resource not found: {what}")


def too_many_requests() -> OktaApiError:
    """Refuse a call beyond a rate limit."""
    return OktaApiError(429, "E0000047", "API call exceeded rate limit due to too many requests.")


def server_error(summary: str = "Internal Server Error") -> OktaApiError:
    """Answer that the org itself failed."""
    return OktaApiError(500, "E0000009", summary)


def _bearer_challenge(error: str, reason: str) -> dict[str, str]:
    return {"www-authenticate": f'Bearer error="{error}", error_description="{reason}"'}
