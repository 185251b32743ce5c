"""Records each call of Okta's API that can change the org, and injects faults into API calls."""

from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from forwarder.core.time import iso
from forwarder.emulator.actors import Call
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.errors import OktaApiError, too_many_requests
from forwarder.emulator.http.responses import org_of
from forwarder.emulator.oauth.servers import CIBA_GRANT
from forwarder.emulator.settings import ChangeFaults

_CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
_FAULTS = ("rate_limited", "error_before", "error_after", "no_response")
_SECRETS = {"client_assertion", "client_secret", "id_token_hint", "request"}
"""Parameters of OAuth calls that the record leaves out."""


def recorded(app: ASGIApp) -> ASGIApp:
    """Wrap `app`: record the calls that can change the org in `Emulator.calls`, and inject the faults of
    calls."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        emulator = org_of(scope)
        started, changes = iso(emulator.clock.now(), "milliseconds"), scope.get("method") in _CHANGING
        body = await _body(receive) if changes else b""
        kind = _kind(scope, body)
        faults = getattr(emulator.faults, kind, None)
        fault = "" if faults is None else await _fault(emulator, kind, faults, scope["path"])
        if kind in {"others", "reads"} and not fault:
            await app(scope, _replay(body, receive) if changes else receive, send)
            return
        answer: list[Any] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        if fault not in {"rate_limited", "error_before"}:
            await app(scope, _replay(body, receive) if changes else receive, keep)
        status = answer[0]["status"] if answer else 0
        if fault and faults:
            answer = _refusal(emulator, fault, faults)
        if changes:
            shown = 0 if fault == "no_response" else answer[0]["status"]
            effect = 200 <= status < 300 and scope.get("state", {}).get("effect", True)
            emulator.calls.append(_call(scope, started, body, shown, effect=effect))
        if fault == "no_response":
            await emulator.clock.sleep(emulator.settings.query_timeout)
        for message in answer:
            await send(message)

    return serve


def _kind(scope: Scope, body: bytes) -> str:
    """Return the name of the attribute of `Faults` that applies to a call: `changes`, `polls` or `reads`; `others` if
    none applies.

    A poll is a call that asks whether the user has answered a prompt (CIBA or push).
    """
    path = scope["path"]
    if path.endswith("/v1/token"):
        return "polls" if CIBA_GRANT in _form(body, scope["query_string"]).values() else "others"
    if scope.get("method") in _CHANGING:
        return "changes"
    if "/transactions/" in path:
        return "polls"
    return "reads" if path.startswith("/api/v1/") and path != "/api/v1/logs" else "others"


async def _fault(emulator: Emulator, kind: str, faults: ChangeFaults, path: str) -> str:
    """Wait for the delay in `faults`. Draw a fault for the call. Return the fault's name; empty for no fault."""
    if faults.only not in path:
        return ""
    if faults.delay:
        await emulator.clock.sleep(faults.delay)
    return _drawn(faults, emulator.fault_randoms[kind])


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message: Any = await receive()
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI `receive` that first returns `body`, which was read before, and then calls `receive`."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Any:
        return next(messages, None) or await receive()

    return again


def _form(*parts: bytes) -> dict[str, str]:
    return dict(pair for part in parts for pair in parse_qsl(part.decode(errors="replace")))


def _call(scope: Scope, started: str, body: bytes, status: int, *, effect: bool) -> Call:
    """Return the record of a call. Secrets of OAuth forms, in body or query, are left out."""
    query = scope["query_string"].decode("latin-1")
    caller = scope.get("state", {}).get("caller")
    text = body.decode(errors="replace")
    if scope["path"].startswith("/oauth2/"):
        query = _without_secrets(query)
        text = text if text.lstrip().startswith("{") else _without_secrets(text)
    return Call(
        at=started,
        caller=caller.id if caller else "",
        method=str(scope.get("method")),
        path=scope["path"] + (f"?{query}" if query else ""),
        body=text,
        status=status,
        effect=effect,
    )


def _without_secrets(form: str) -> str:
    return urlencode([(key, value) for key, value in parse_qsl(form) if key not in _SECRETS])


def _drawn(faults: ChangeFaults, random: Random) -> str:
    """Draw a fault for one call by the shares in `faults`. Return the fault's name; empty for no fault."""
    point = random.random()
    for name in _FAULTS:
        point -= getattr(faults, name)
        if point < 0:
            return name
    return ""


def _refusal(emulator: Emulator, fault: str, faults: ChangeFaults) -> list[Any]:
    summary = "Service is in read only mode"
    error = too_many_requests() if fault == "rate_limited" else OktaApiError(503, "E0000010", summary)
    reset = emulator.authenticator.rate_limits.reset_in(faults.reset)
    headers = [(b"content-type", b"application/json"), (b"x-rate-limit-reset", str(reset).encode())]
    if error.status == 503 and faults.retry_after:
        headers.append((b"retry-after", str(round(faults.retry_after)).encode()))
    start = {"type": "http.response.start", "status": error.status, "headers": headers}
    return [start, {"type": "http.response.body", "body": msgspec.json.encode(error.body), "more_body": False}]
