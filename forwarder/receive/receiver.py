"""The door to which Okta posts. What it answers, from the top; the body is empty but for the challenge:

    any other path                                        404
    a method other than GET and POST                      405   Allow: GET, POST
    the forwarder is stopping                             503
    no secret, a wrong one, its header twice              401   before anything else of the request is read
    GET   a good challenge                                200   {"verification": "…"}
          none, two, or a malformed one                   400
    POST  body larger than `max_body`, also inflated      413
          Content-Encoding other than gzip and identity   415
          no JSON object with a list at `data.events`     400
          the store is full, broken or too slow           503
          anything that nobody thought of                 503
          its events are committed and fsynced            200   also where there are none, or all are known

Okta retries a 5xx and a timeout once, and a 4xx never. So 4xx stands only for what no retry can mend, and whatever
is our own trouble is 503. An element of `data.events` that is no event goes to the receiver's dead letters, in the
same commit as its neighbours, and does not change the answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar, Request, Response, asgi

from forwarder import logs
from forwarder.core.errors import BadRequestError, SettingsError, StoreError, StoreTimeoutError
from forwarder.core.ports import Clock, Intake
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import Metrics
from forwarder.receive.auth import AuthFailure, Keyring, keyrings
from forwarder.receive.body import HangUpError, Receive, Scope, Send, decode_body, read_body
from forwarder.receive.metrics import CODES, OrgCounts, chunks
from forwarder.receive.parse import parse
from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings

Headers = list[tuple[bytes, bytes]]

_CHALLENGE_HEADER = b"x-okta-verification-challenge"
_CHALLENGE = re.compile(
    rb"[A-Za-z0-9_~.+/=-]{1,512}"
)  # Okta sends 40 of base64url; nothing here can harm a reader
_LAGS = 500  # events whose lag is observed in one step: some 1 ms


class Answer(NamedTuple):
    """A status, its body, and the org that it is counted for."""

    org: str
    status: int
    body: bytes = b""


def _start(status: int, *extra: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-length", b"0"), *extra],
    }


# Nobody changes these messages, so one of each serves all requests.
_STARTS = {code: _start(code) for code in CODES}
_STARTS[405] = _start(405, (b"allow", b"GET, POST"))
_STARTS[503] = _start(503, (b"connection", b"close"))
_END = {"type": "http.response.body", "body": b"", "more_body": False}


class HookReceiver:
    """The ingress listener's app, and what a reload and a stop do to it."""

    def __init__(
        self,
        intake: Intake,
        orgs: Mapping[str, HookEndpointSettings],
        settings: ReceiverSettings,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._rings = keyrings(orgs)
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._counts = {name: OrgCounts(metrics, name) for name in (*orgs, "")}
        self._log = RateLimitedLogger(logs.get("receive"), clock)
        self._closing = False
        self._routes = self._litestar()

    # What `app` of the process does to it.

    def reload(self, orgs: Mapping[str, HookEndpointSettings], settings: ReceiverSettings) -> None:
        """Take new secrets and limits. A request that is being answered keeps the old ones.

        Raises:
            SettingsError: the paths differ, which takes a restart. Nothing is changed then.
        """
        rings = keyrings(orgs)
        if rings.keys() != self._rings.keys():
            raise SettingsError(["orgs: the set of paths has changed; restart the forwarder for that"])
        for name in orgs:
            if name not in self._counts:
                self._counts[name] = OrgCounts(self._metrics, name)
        self._rings, self._settings = rings, settings

    def close(self) -> None:
        """Answer 503 to every request that begins from now on, so that Okta tries again."""
        self._closing = True

    # What a request meets.

    def app(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The ASGI app. A request for a path exactly as configured goes by no router: that would cost a quarter of
        the whole POST."""
        ring = self._rings.get(scope["path"])
        if ring is not None:
            return self._serve(ring, scope, receive, send)
        return self._routes(scope, receive, send)  # type: ignore[arg-type]  # Litestar has types of its own

    def _litestar(self) -> Litestar:
        @asgi(sorted(self._rings), copy_scope=False)
        async def hook(scope: Any, receive: Any, send: Any) -> None:
            await self._serve(self._rings[scope["path"]], scope, receive, send)

        return Litestar(
            [hook],
            openapi_config=None,
            logging_config=None,
            exception_handlers={Exception: self._elsewhere},
        )

    def _elsewhere(self, _: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        """What Litestar itself refuses: an unknown path, or a malformed `Host`."""
        code = getattr(error, "status_code", 503)
        code = code if code in CODES else 503
        if code == 503:
            self._failed(error)
        self._counts[""].answered(code)
        return Response(b"", status_code=code, media_type="text/plain")

    async def _serve(self, ring: Keyring, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(ring, scope, receive)
        except HangUpError:
            return
        except asyncio.CancelledError:
            # The forwarder stops and this took too long. The events may be stored or not: Okta is to send them again.
            await self._send(Answer(ring.label, 503), send)
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, a 500 or a dropped connection helps nobody
            self._failed(error)
            answer = Answer(ring.label, 503)
        await self._send(answer, send)

    def _failed(self, error: Exception) -> None:
        """Say where it went wrong. Not by `repr`: that of some errors shows the bytes that they are about."""
        kind = type(error).__name__
        self._log.error(
            "a request failed here; its sender is told to try again",
            kind,
            action="request_failed",
            error=kind,
            exc_info=error,
        )

    async def _send(self, answer: Answer, send: Send) -> None:
        if answer.body:
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(answer.body)).encode()),
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        else:
            await send(_STARTS[answer.status])
            await send(_END)
        self._counts[answer.org].answered(answer.status)

    async def _answer(self, ring: Keyring, scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        if method not in ("GET", "POST"):
            return Answer(ring.label, 405)
        if self._closing:
            return Answer(ring.label, 503)
        headers: Headers = scope["headers"]
        org = ring.identify(headers)
        if isinstance(org, AuthFailure):
            if method == "POST" or not ring.open_challenge:
                return self._refuse(ring, org, scope)
            org = ring.label
        if method == "GET":
            return self._challenge(org, headers)
        began = scope["state"].get("began", self._clock.monotonic())
        answer = await self._take(org, headers, receive)
        self._counts[org].acknowledged(self._clock.monotonic() - began)
        return answer

    def _refuse(self, ring: Keyring, reason: AuthFailure, scope: Scope) -> Answer:
        counts = self._counts[ring.label]
        counts.refused(reason)
        if scope["method"] == "GET":
            counts.challenged("unauthorized")
        client = scope.get("client")
        self._log.warning(
            "a request showed no right secret",
            reason,
            action="secret_refused",
            reason=reason.value,
            path=scope["path"],
            client=client[0] if client else "",
        )
        return Answer(ring.label, 401)

    def _challenge(self, org: str, headers: Headers) -> Answer:
        values = [value for name, value in headers if name == _CHALLENGE_HEADER]
        if len(values) != 1 or not _CHALLENGE.fullmatch(values[0]):
            self._counts[org].challenged("malformed")
            return Answer(org, 400)
        self._counts[org].challenged("verified")
        return Answer(org, 200, msgspec.json.encode({"verification": values[0].decode()}))

    async def _take(self, org: str, headers: Headers, receive: Receive) -> Answer:
        """Read a POST whose secret was right, commit what it brings, answer."""
        settings = self._settings
        received_at = self._clock.now()
        try:
            body = await self._body(headers, receive, settings.max_body)
            events, malformed = await parse(body, org=org, received_at=received_at)
        except BadRequestError as error:
            self._log.warning(
                "a POST is no event hook that can be read",
                org,
                str(error.status),
                action="hook_refused",
                org=org,
                status=error.status,
                error=str(error),
            )
            return Answer(org, error.status)
        del body  # the events are copies; a commit may take its time
        try:
            appended = await self._intake.append(events, malformed, timeout=settings.commit_timeout)
        except StoreError as error:
            self._store_failed(org, error)
            return Answer(org, 503)
        # From here on every event of this POST is on disk, so 200 is true whatever happens to the answer.
        self._counts[org].appended(appended, len(malformed))
        for piece in chunks(appended.stored, _LAGS):
            self._counts[org].lags(piece)
            if len(piece) == _LAGS:
                await asyncio.sleep(0)
        return Answer(org, 200)

    def _store_failed(self, org: str, error: StoreError) -> None:
        kind = type(error).__name__
        say = self._log.warning if isinstance(error, StoreTimeoutError) else self._log.error
        text = "a POST could not be stored; its sender is told to try again"
        say(text, org, kind, action="store_refused", org=org, error=str(error) or kind)

    async def _body(self, headers: Headers, receive: Receive, limit: int) -> bytes:
        length, encoding = 0, b""
        for name, value in headers:
            if name == b"content-length":
                length = int(value)  # digits only: the parser has refused anything else
            elif name == b"content-encoding":
                encoding = encoding + b"," + value if encoding else value
        if length > limit:
            raise BadRequestError(413, f"the body is larger than {limit} bytes")
        body = await read_body(receive, limit)
        return await decode_body(body, encoding, limit) if encoding else body
