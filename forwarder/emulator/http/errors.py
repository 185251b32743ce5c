"""Okta's error responses. They are JSON objects; OAuth's endpoints use one format, and all other APIs use another
format."""

import secrets
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from forwarder.config.types import Section
from forwarder.core.errors import ForwarderError

_T = TypeVar("_T")
_SectionT = TypeVar("_SectionT", bound=Section)

_NOT_PERMITTED = "You do not have permission to perform the requested action"


class ApiError(ForwarderError):
    """The org refuses a call."""

    def __init__(self, message: str, status: int, body: dict[str, object], headers: Mapping[str, str] | None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class OktaApiError(ApiError):
    """The org refuses a call, in the format of all APIs except OAuth.

    Attributes:
        code: `errorCode`, the only part that Okta keeps stable.
        summary: `errorSummary`.
        causes: the summaries in `errorCauses`, one sentence each.
    """

    def __init__(
        self, status: int, code: str, summary: str, *causes: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.code = code
        self.summary = summary
        self.causes = causes
        body: dict[str, object] = {
            "errorCode": code,
            "errorSummary": summary,
            "errorLink": code,
            "errorId": f"oae{secrets.token_urlsafe(16)}",
            "errorCauses": [{"errorSummary": cause} for cause in causes],
        }
        super().__init__(f"{code} {'; '.join((summary, *causes))}", status, body, headers)


def oauth_error(status: int, code: str, reason: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """Return the error that refuses a call in OAuth's format."""
    if status == 401:
        headers = {"www-authenticate": f'DPoP error="{code}", error_description="{reason}"'}
    return ApiError(f"{code}: {reason}", status, {"error": code, "error_description": reason}, headers)


def invalid(what: str, *causes: str) -> OktaApiError:
    """Return the error that refuses `what`, a field or parameter that breaks a rule."""
    return OktaApiError(400, "E0000001", f"Api validation failed: {what}", *causes)


def expired_cursor() -> OktaApiError:
    """Return the error that refuses an expired or unknown cursor. (Okta does not document the text.)"""
    return invalid("after", "after: The cursor is invalid or has expired")


def invalid_search(*causes: str) -> OktaApiError:
    """Return the error that refuses a `filter` or a `search` of objects."""
    return OktaApiError(400, "E0000031", "Invalid search criteria.", *causes)


def not_json() -> OktaApiError:
    """Return the error that refuses a body that is not JSON."""
    return OktaApiError(400, "E0000003", "The request body was not well-formed.")


def wrong_media_type() -> OktaApiError:
    """Return the error that refuses a body whose `Content-Type` is not `application/json`."""
    summary = "Bad request.  Accept and/or Content-Type headers likely do not match supported values."
    return OktaApiError(400, "E0000021", summary)


def invalid_token(*causes: str) -> OktaApiError:
    """Return the error that refuses an API token; if `causes` are given, the error that refuses an access token."""
    headers = _bearer_challenge("invalid_token", causes[0]) if causes else None
    return OktaApiError(401, "E0000011", "Invalid token provided", *causes, headers=headers)


def forbidden(*causes: str) -> OktaApiError:
    """Return the error that refuses a call because of the caller's rights or the object's present state."""
    return OktaApiError(403, "E0000006", _NOT_PERMITTED, *causes)


def insufficient_scope() -> OktaApiError:
    """Return the error for a call that the token's scopes do not allow."""
    cause = "The access token provided does not contain the required scopes."
    headers = _bearer_challenge("insufficient_scope", cause)
    return OktaApiError(403, "E0000006", _NOT_PERMITTED, cause, headers=headers)


def not_found(what: str) -> OktaApiError:
    """Return the error which says that `what` does not exist."""
    return OktaApiError(404, "E0000007", f"Not found: Resource not found: {what}")


def too_many_requests() -> OktaApiError:
    """Return the error that refuses a call beyond a rate limit."""
    return OktaApiError(429, "E0000047", "API call exceeded rate limit due to too many requests.")


def server_error(summary: str = "Internal Server Error") -> OktaApiError:
    """Return the error which says that the org itself failed."""
    return OktaApiError(500, "E0000009", summary)


def decode(body: bytes, kind: type[_T], what: str = "body") -> _T:
    """Decode the JSON body of a call.

    Raises:
        OktaApiError: the body is not JSON, or does not fit the type `kind`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(what, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json() from error


def decode_section(body: bytes, kind: type[_SectionT], what: str) -> _SectionT:
    """Decode the JSON body of a call of the emulator's own API into the settings class `kind`.

    Raises:
        OktaApiError: the body is not JSON, or does not fit `kind`. `what` is the name of the body in the error.
    """
    tree = decode(body, dict[str, Any])
    try:
        return kind(**tree)
    except ValidationError as error:
        causes = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise invalid(what, *causes) from error


def _bearer_challenge(error: str, reason: str) -> dict[str, str]:
    return {"www-authenticate": f'Bearer error="{error}", error_description="{reason}"'}
