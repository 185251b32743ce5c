"""What all of the org's HTTP shares: how it reads a body, and how it answers, with Okta's headers and in Okta's words."""

import base64
import secrets
from email.utils import formatdate
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from forwarder import logs
from forwarder.emulator.http.auth import Admission
from forwarder.emulator.http.errors import (
    OAuthError,
    OktaApiError,
    broken,
    invalid,
    malformed,
    not_found,
    wrong_method,
)
from forwarder.emulator.http.rate_limits import Told
from forwarder.emulator.org import Emulator

_T = TypeVar("_T")
OktaRequest = Request[Any, Any, State]
JSON = "application/json"


def org(request: OktaRequest) -> Emulator:
    """The org that is asked."""
    emulator: Emulator = request.app.state.org
    return emulator


def admission(request: OktaRequest) -> Admission:
    """Who may call it."""
    found: Admission = request.app.state.admission
    return found


def tell(request: OktaRequest, told: Told) -> None:
    """Have the answer carry these rate-limit headers."""
    request.state.told = told


def headers(request: OktaRequest) -> dict[str, str]:
    """What Okta puts on every answer."""
    told: Told | None = getattr(request.state, "told", None)
    return {
        "x-okta-request-id": base64.urlsafe_b64encode(secrets.token_bytes(20)).decode().rstrip("="),
        "cache-control": "no-cache, no-store",
        # Okta's own client reckons its waits from this one.
        "date": formatdate(org(request).clock.now() / 1e6, usegmt=True),
    } | (told.headers() if told else {})


def answer(request: OktaRequest, body: object, status: int = 200) -> Response[bytes]:
    """`body` as JSON."""
    content = msgspec.json.encode(body)
    return Response(content, status_code=status, headers=headers(request), media_type=JSON)


def read(body: bytes, kind: type[_T]) -> _T:
    """`body`, which is JSON, as `kind`.

    Raises:
        OktaApiError: it is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid("body", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed() from error


def refuse(request: OktaRequest, error: OktaApiError) -> Response[bytes]:
    """What the org refuses."""
    error_id = f"oae{secrets.token_urlsafe(16)}"
    refusal = answer(request, error.body(error_id), error.status)
    refusal.headers.update(error.headers)
    return refusal


def refuse_oauth(request: OktaRequest, error: OAuthError) -> Response[bytes]:
    """What the org refuses in the words of OAuth."""
    refusal = answer(request, error.body(), error.status)
    refusal.headers.update(error.headers)
    return refusal


def refuse_http(request: OktaRequest, error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, in Okta's words."""
    known = {404: not_found(f"Resource not found: {request.url.path}"), 405: wrong_method()}
    return refuse(request, known.get(error.status_code) or malformed())


def fail(request: OktaRequest, error: Exception) -> Response[bytes]:
    """A fault of ours: told as Okta tells its own, and logged."""
    logs.get("emulator").error("call failed", action="emulator_call_failed", exc_info=error)
    return refuse(request, broken())
