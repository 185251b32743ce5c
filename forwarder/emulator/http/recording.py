"""Records every changing call of Okta's API and what became of it, and injects the faults of such calls."""

from random import Random
from typing import Any

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from forwarder.core.time import iso
from forwarder.emulator.changes import Call
from forwarder.emulator.http.errors import OktaApiError, too_many_requests
from forwarder.emulator.org import Emulator
from forwarder.emulator.settings import ChangeFaults

_CHANGING = {"POST", "PUT", "DELETE"}


def recorded(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that its changing calls are in `Emulator.calls`."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") not in _CHANGING:
            await app(scope, receive, send)
            return
        emulator: Emulator = scope["litestar_app"].state.org
        fault = _drawn(emulator.faults.changes, emulator.change_fault_random)
        started, body = iso(emulator.clock.now(), "milliseconds"), bytearray()
        answer: list[Any] = []

        async def read() -> Any:
            message: Any = await receive()
            body.extend(message.get("body", b""))
            return message

        async def keep(message: Message) -> None:
            answer.append(message)

        if fault in {"rate_limited", "error_before"}:
            while (await read()).get("more_body"):
                pass
        else:
            await app(scope, read, keep)
        status = answer[0]["status"] if answer else 0
        if fault:
            answer = _refusal(fault)
        query = scope["query_string"].decode("latin-1")
        caller = scope.get("state", {}).get("caller")
        call = Call(
            at=started,
            caller=caller.id if caller else "",
            method=str(scope.get("method")),
            path=scope["path"] + (f"?{query}" if query else ""),
            body=body.decode(errors="replace"),
            status=0 if fault == "no_response" else answer[0]["status"],
            effect=200 <= status < 300,
        )
        emulator.calls.add(call)
        if fault == "no_response":
            await emulator.clock.sleep(emulator.settings.query_timeout)
        for message in answer:
            await send(message)

    return serve


def _drawn(faults: ChangeFaults, random: Random) -> str:
    """Draw the fault of one call; empty for none."""
    point = random.random()
    for name, share in faults.model_dump().items():
        point -= share
        if point < 0:
            return str(name)
    return ""


def _refusal(fault: str) -> list[Any]:
    summary = "Service is in read only mode"
    error = too_many_requests() if fault == "rate_limited" else OktaApiError(503, "E0000010", summary)
    headers = [(b"content-type", b"application/json"), (b"x-rate-limit-reset", b"0")]
    start = {"type": "http.response.start", "status": error.status, "headers": headers}
    return [
        start,
        {"type": "http.response.body", "body": msgspec.json.encode(error.body), "more_body": False},
    ]
