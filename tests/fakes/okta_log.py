"""A System Log behind the port `Api`, in memory, whose storing, order and faults a test decides event by event."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from forwarder.core.errors import OktaError, OktaRefusedError, OktaUnreachableError
from forwarder.core.time import SECOND, Micros, to_datetime, to_micros
from forwarder.okta.api.port import OktaTooLargeError, Response
from tests.fakes.clock import ManualClock

URL = "https://acme.okta.com"
HOOK = "who7hphp39JoHLni81d7"

REFUSALS = {
    "gone": (400, "E0000031"),
    "clock": (400, "invalid_dpop_proof"),
    "forbidden": (403, "E0000006"),
    "limited": (429, "E0000047"),
    "broken": (500, "E0000009"),
}
"""What the log answers for a fault of that name. `gone` concerns only links: Okta knows the place no more."""


def event(uuid: str, published: Micros, *, hooks: Sequence[str] = (), **more: Any) -> bytes:
    """An event as the System Log has it; its spaces tell its bytes from any other encoder's."""
    data = {"targetEventHookIds": ",".join(hooks)} if hooks else {}
    body = {
        "uuid": uuid,
        "published": to_datetime(published).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventType": "user.session.start",
        "outcome": {"result": "SUCCESS", "reason": None},
        "debugContext": {"debugData": data},
    } | more
    return json.dumps(body, separators=(" , ", " : ")).encode()


@dataclass
class Stored:
    """One entry of the log."""

    at: Micros
    body: bytes


@dataclass
class LogApi:
    """The log.

    Attributes:
        clock: decides when an event is stored.
        url: the org's, in its links.
        log: what is stored, in that order.
        faults: what the next calls suffer, in turn: a name of REFUSALS, `timeout`, `repeat` (the page begins some
            events early), `circle` (the page links to itself), `back` (the page links to the page asked for before it),
            `empty` (the page has no events, and links to the page that has them), `idle` (as `empty`, and that page is the
            same one), `future` (the page has an event of tomorrow too), or None for nothing.
        readable: a page of more events is too large to be read.
        max_bytes: a page of more bytes is too large to be read, and only its start and its links are known.
        calls: the address of each call.
        behind: how far its own clock, in the header `date`, is behind `clock`; None for no such header.
    """

    clock: ManualClock
    url: str = URL
    log: list[Stored] = field(default_factory=list)
    faults: deque[str | None] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    readable: int = 1000
    max_bytes: int = 1 << 24
    behind: Micros | None = None

    def store(self, *bodies: bytes) -> None:
        """Store these now."""
        self.log += [Stored(self._now(), body) for body in bodies]

    def _now(self) -> Micros:
        return self.clock.now() - (self.behind or 0)

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """As `Api.call`."""
        assert (method, body) == ("GET", None)
        self.calls.append(path if query is None else f"{path}?{urlencode(query)}")
        asked = dict(query) if query is not None else dict(parse_qsl(urlsplit(path).query))
        assert urlsplit(path).path == "/api/v1/logs"
        fault = self.faults.popleft() if self.faults else None
        self._suffer(fault, asked)
        page = self._polled(asked, 2 if fault == "repeat" else 0) if "until" not in asked else self._span(asked)
        if fault in {"empty", "idle"}:
            again = {**asked, "after": asked.get("after", "0")} | (
                {"seen": str(len(self.calls))} if fault == "empty" else {}
            )
            return self._answer([], again)
        if fault == "future":
            more = b", " + event("future", self._now() + 86_400 * SECOND) + b"]"
            return msgspec.structs.replace(page, content=page.content[:-1] + more)
        if fault == "circle":
            return msgspec.structs.replace(page, links={"next": f"{self.url}{path.removeprefix(self.url)}"})
        if fault == "back":
            return msgspec.structs.replace(page, links={"next": f"{self.url}{self.calls[-2].removeprefix(self.url)}"})
        return page

    def _suffer(self, fault: str | None, asked: Mapping[str, str]) -> None:
        if fault == "timeout":
            raise OktaUnreachableError("no answer in time")
        if fault in REFUSALS and (fault != "gone" or "after" in asked):
            raise OktaRefusedError(*REFUSALS[fault], f"the log is {fault}")
        if int(asked["limit"]) > self.readable:
            raise OktaTooLargeError("the page is too large")

    def _polled(self, asked: dict[str, str], early: int) -> Response:
        since, limit = _time(asked["since"]), int(asked["limit"])
        first = next((n for n, stored in enumerate(self.log) if stored.at >= since), len(self.log))
        start = max(0, int(asked.get("after", first)) - early)
        page = self.log[start : start + limit]
        return self._answer(page, {**asked, "after": str(start + len(page))})

    def _span(self, asked: dict[str, str]) -> Response:
        """A bounded page: by the time of happening, and with an end."""
        since, until, limit = _time(asked["since"]), _time(asked["until"]), int(asked["limit"])
        entries = [(to_micros(datetime.fromisoformat(json.loads(one.body)["published"])), one) for one in self.log]
        found = [one for at, one in sorted(entries, key=lambda entry: entry[0]) if since <= at < until]
        start = int(asked.get("after", 0))
        page = found[start : start + limit]
        more = start + len(page) < len(found)
        return self._answer(page, {**asked, "after": str(start + len(page))} if more else None)

    def _answer(self, page: Sequence[Stored], following: Mapping[str, str] | None) -> Response:
        links = {"self": f"{self.url}/api/v1/logs"}
        if following is not None:
            links["next"] = f"{self.url}/api/v1/logs?{urlencode(following)}"
        body = b"[" + b",\n ".join(stored.body for stored in page) + b"]"
        sent_at = None if self.behind is None else self._now() // SECOND * SECOND
        if len(body) > self.max_bytes:
            raise OktaTooLargeError("the page is too large", Response(200, body[: self.max_bytes], links, sent_at))
        return Response(200, body, links, sent_at)

    async def close(self) -> None:
        """As `Api.close`."""


@dataclass
class OneAnswer:
    """An `Api` that gives one answer to every call.

    Attributes:
        answer: what to give, or to raise.
    """

    answer: Response | OktaError

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """As `Api.call`."""
        if isinstance(self.answer, OktaError):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        """As `Api.close`."""


def _time(text: str) -> Micros:
    return to_micros(datetime.fromisoformat(text))
