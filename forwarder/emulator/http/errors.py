"""Okta's way to say no: one error body for all of its API, with the codes that callers rely on, and that of OAuth."""

from collections.abc import Mapping, Sequence

from forwarder.core.errors import ForwarderError


class OktaApiError(ForwarderError):
    """An API call that the org refuses, as Okta words it.

    Attributes:
        status: the HTTP status.
        code: Okta's `errorCode`, the only stable part.
        summary: Okta's `errorSummary`.
        causes: one sentence each.
        headers: of the answer, beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        summary: str,
        causes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code} {summary}: {'; '.join(causes)}" if causes else f"{code} {summary}")
        self.status = status
        self.code = code
        self.summary = summary
        self.causes = tuple(causes)
        self.headers = headers or {}

    def body(self, error_id: str) -> dict[str, object]:
        """The JSON object that Okta answers."""
        return {
            "errorCode": self.code,
            "errorSummary": self.summary,
            "errorLink": self.code,
            "errorId": error_id,
            "errorCauses": [{"errorSummary": cause} for cause in self.causes],
        }


class OAuthError(ForwarderError):
    """What the org refuses as OAuth words it.

    Attributes:
        status: the HTTP status.
        code: `error`.
        why: `error_description`.
        headers: of the answer, beside the usual ones.
    """

    def __init__(self, status: int, code: str, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {why}")
        self.status = status
        self.code = code
        self.why = why
        told = (
            {"www-authenticate": f'DPoP error="{code}", error_description="{why}"'} if status == 401 else {}
        )
        self.headers = told | dict(headers or {})

    def body(self) -> dict[str, object]:
        """The JSON object that is answered."""
        return {"error": self.code, "error_description": self.why}


def invalid(what: str, *causes: str) -> OktaApiError:
    """A field or parameter that breaks a rule."""
    return OktaApiError(400, "E0000001", f"Api validation failed: {what}", causes)


def malformed() -> OktaApiError:
    """A body that is no JSON."""
    return OktaApiError(400, "E0000003", "The request body was not well-formed.")


def bad_token() -> OktaApiError:
    """No token, or a wrong one."""
    return OktaApiError(401, "E0000011", "Invalid token provided")


def bad_access_token(why: str) -> OktaApiError:
    """An access token that does not hold."""
    told = {"www-authenticate": f'Bearer error="invalid_token", error_description="{why}"'}
    return OktaApiError(401, "E0000011", "Invalid token provided", [why], told)


def forbidden(*causes: str) -> OktaApiError:
    """A call that is not allowed in this state."""
    return OktaApiError(403, "E0000006", "You do not have permission to perform the requested action", causes)


def lacks_scope() -> OktaApiError:
    """A token whose scopes do not allow the call."""
    why = "The access token provided does not contain the required scopes."
    told = {"www-authenticate": f'Bearer error="insufficient_scope", error_description="{why}"'}
    summary = "You do not have permission to perform the requested action"
    return OktaApiError(403, "E0000006", summary, [why], told)


def not_found(what: str) -> OktaApiError:
    """Something that does not exist."""
    return OktaApiError(404, "E0000007", f"Not found: {what}")


def wrong_method() -> OktaApiError:
    """A path that has no such method."""
    return OktaApiError(405, "E0000022", "The endpoint does not support the provided HTTP method")


def too_many() -> OktaApiError:
    """More calls than a minute allows."""
    return OktaApiError(429, "E0000047", "API call exceeded rate limit due to too many requests.")


def broken() -> OktaApiError:
    """A fault of the emulator itself."""
    return OktaApiError(500, "E0000009", "Internal Server Error")


def slow() -> OktaApiError:
    """A query that took too long."""
    told = "Your last request took too long to complete. Please simplify your query or try again in a few minutes."
    return OktaApiError(500, "E0000009", told)
