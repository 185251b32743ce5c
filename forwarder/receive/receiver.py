"""The hook receiver: the endpoint that Okta posts to. Its answers, in the order in which they are decided:

    the path of a public document                         200   to GET and HEAD, else 405; see `receive/public_documents.py`
    any other path                                        404
    a method other than GET and POST                      405   Allow: GET, POST
    the forwarder is stopping                             503
    no secret, a wrong secret, or its header twice        401   before anything else of the request is read
    GET   one valid challenge                             200   {"verification": "…"}
          no challenge, two, or a malformed one           400
    POST  body larger than `max_body`, also inflated      413
          Content-Encoding other than gzip and identity   415
          no JSON object with a list at `data.events`     400
          all bodies together take too much memory        503
          the store is full, broken or too slow           503
          any unexpected error                            503
          its events are committed and fsynced            200   also without events, or if all are duplicates

The body of an answer is empty, except for a public document and the answer to a challenge. Okta retries once after a
5xx or a timeout, and never after a 4xx: an event that is answered 4xx does not come by hook again. So the answer is 4xx
only if a retry cannot help, and the answer to any problem of the forwarder itself is 503. A malformed element of
`data.events` becomes a dead letter of the receiver, in the same commit as the other elements, and does not change the
answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar, Request, Response, asgi

from forwarder import logs
from forwarder.core.errors import BadRequestError, StoreError, StoreTimeoutError
from forwarder.core.event import Source
from forwarder.core.ports import Clock, EventStore
from forwarder.event_reader import describe_malformed
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import Metrics
from forwarder.receive.auth import AuthFailure, Keyring, Refusals, Sender, keyrings, sender
from forwarder.receive.body_budget import BodyBudget, OverloadedError, budget_for
from forwarder.receive.envelope import ClientDisconnectedError, Headers, Receive, parse, read_body
from forwarder.receive.public_documents import public_answer
from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings
from forwarder.stored_event_metrics import StoredEventMetrics
from forwarder.system_limits import refusal

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STATUSES = (200, 400, 401, 404, 405, 413, 415, 503)  # every status that the receiver answers
_CHALLENGE_HEADER = b"x-okta-verification-challenge"
# Okta sends 40 characters of base64url. The characters that are allowed here do no harm in the answer.
_CHALLENGE = re.compile(rb"[A-Za-z0-9_~.+/=-]{1,512}")
_HEADERS = {405: (b"allow", b"GET, POST"), 503: (b"connection", b"close")}


class HookAnswer(NamedTuple):
    """An HTTP answer, and the name of the org in whose metrics the answer is counted (the empty string if the org is
    not known)."""

    org: str
    status: int
    body: bytes = b""


class ReceiveMetrics:
    """The metrics of one org. A request whose org is not known is counted for the org with the empty name.

    Attributes:
        requests: the number of answers, by HTTP status.
        auth_failures: the number of requests without a valid secret, by reason.
        okta_auth_failures: how many of them have Okta's user agent.
        challenges: the number of verification GETs, by outcome.
        ack: the seconds from the first byte of a POST to its answer. The org with the empty name does not have this
            attribute.
        stored: the counters of stored events. The org with the empty name does not have this attribute.
    """

    def __init__(self, metrics: Metrics, org: str) -> None:
        self.requests = {code: metrics.hook_requests.labels(org, str(code)) for code in _STATUSES}
        self.auth_failures = {why: metrics.auth_failures.labels(org, why.value) for why in AuthFailure}
        self.okta_auth_failures = metrics.okta_auth_failures.labels(org)
        outcomes = ("verified", "unauthorized", "malformed")
        self.challenges = {outcome: metrics.challenges.labels(org, outcome) for outcome in outcomes}
        if org:
            self.ack = metrics.ack_duration.labels(org)
            self.stored = StoredEventMetrics(metrics, org, Source.HOOK)


class Endpoints(NamedTuple):
    """The parts of a `HookReceiver` that a reload replaces: the keyrings by path, the settings, the metrics by org
    (only of new orgs), and the router."""

    keyrings: dict[str, Keyring]
    settings: ReceiverSettings
    metrics: Mapping[str, ReceiveMetrics]
    router: Litestar


def _user_agent(scope: Any) -> str:
    return next((value for name, value in scope["headers"] if name == b"user-agent"), b"").decode("latin-1")


class HookReceiver:
    """The ASGI app of the receiver's listener.

    Attributes:
        public: JSON documents that anyone may read, encoded, by URL path. A document must not contain a secret.
    """

    public: Mapping[str, bytes]

    def __init__(
        self,
        store: EventStore,
        orgs: Mapping[str, HookEndpointSettings],
        settings: ReceiverSettings,
        metrics: Metrics,
        clock: Clock,
        refusals: Refusals | None = None,
    ) -> None:
        """Serve the hooks of `orgs`, which are the settings by org. `refusals` records the requests without a valid
        secret, for the status."""
        self._refusals = refusals or Refusals()
        self.public = {}
        self._store = store
        self._keyrings = keyrings(orgs)
        self._settings = settings
        self._all_metrics = metrics
        self._clock = clock
        self._metrics = {name: ReceiveMetrics(metrics, name) for name in (*orgs, "")}
        self._unknown_paths = {by: metrics.unknown_path_requests.labels(by.value) for by in Sender}
        self._logger = RateLimitedLogger(logs.get("receive"), clock)
        self._bodies = BodyBudget(budget_for(settings.max_body))
        self._closing = False
        self._router = self._build_router(self._keyrings)

    def build(self, orgs: Mapping[str, HookEndpointSettings], settings: ReceiverSettings) -> "Endpoints":
        """Return the endpoints that serve `orgs` with `settings`, for `apply`. The receiver does not change yet."""
        keys = keyrings(orgs)
        added = orgs.keys() - self._metrics.keys()
        metrics = {name: ReceiveMetrics(self._all_metrics, name) for name in added}
        return Endpoints(keys, settings, metrics, self._build_router(keys))

    def apply(self, endpoints: "Endpoints") -> None:
        """Use the paths, secrets and limits of `endpoints` for all new requests. A request in progress keeps the
        previous paths, secrets and limits."""
        self._metrics |= endpoints.metrics
        self._keyrings, self._settings, self._router = (endpoints.keyrings, endpoints.settings, endpoints.router)
        self._bodies.limit = budget_for(endpoints.settings.max_body)

    def close(self) -> None:
        """Answer 503 to every request that begins after this call, so that Okta sends the request again."""
        self._closing = True

    def app(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request. The parameters are those of an ASGI app."""
        path = scope["raw_path"]
        # A path exactly as configured skips the router, which would add 18 µs to the 100 µs of a POST.
        exact = scope["path"] if b"%" not in path else ""
        if keyring := self._keyrings.get(exact):
            return self._serve(keyring, scope, receive, send)
        if document := self.public.get(exact):
            answer = public_answer(scope["method"], document)
            self._metrics[""].requests[answer.status].inc()
            return answer.send(send)
        if b"//" in path or b"%2f" in path.lower():  # the router would treat `//` and `%2f` as one slash
            self._log_unknown_path(scope)
            return self._send(HookAnswer("", 404), send)
        return self._router(scope, receive, send)  # type: ignore[arg-type]  # Litestar has types of its own

    def _build_router(self, keyrings: Mapping[str, Keyring]) -> Litestar:
        @asgi(sorted(keyrings), copy_scope=False)
        async def hook(scope: Any, receive: Any, send: Any) -> None:
            path = scope["path"].rstrip("/") or "/"
            await self._serve(keyrings[path], scope, receive, send)

        return Litestar(
            [hook], openapi_config=None, logging_config=None, exception_handlers={Exception: self._handle_router_error}
        )

    def _handle_router_error(self, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        """Return the answer to a request for which Litestar raised `error`, for example because the path is unknown or
        the header `Host` is malformed."""
        code = getattr(error, "status_code", 503)
        code = code if code in _STATUSES else 503
        if code == 503:
            self._log_internal_error(error)
        elif code == 404:
            self._log_unknown_path(request.scope)
        self._metrics[""].requests[code].inc()
        return Response(b"", status_code=code, media_type="text/plain")

    def _log_unknown_path(self, scope: Any) -> None:
        if scope["method"] == "POST":  # it may come from a hook
            self._unknown_paths[sender(_user_agent(scope))].inc()
            path, hint = scope["path"][:100], "compare the hook's address with orgs.*.path"
            self._logger.warning(
                "a POST came to a path that no org has in the configuration; the receiver answered 404",
                action="path_refused",
                path=path,
                hint=hint,
            )

    async def _serve(self, keyring: Keyring, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(keyring, scope, receive)
        except ClientDisconnectedError:
            return
        except asyncio.CancelledError:
            # The forwarder is stopping. The events are perhaps not stored, so Okta must send them again.
            await self._send(HookAnswer(keyring.default_org, 503), send)
            raise
        except Exception as error:  # noqa: BLE001  # Okta needs an answer, whatever it is
            self._log_internal_error(error)
            answer = HookAnswer(keyring.default_org, 503)
        await self._send(answer, send)

    def _log_internal_error(self, error: Exception) -> None:
        """Log the class and the traceback of `error`, or the limit of the system that caused it.

        Do not log the `repr` of `error`, because a `repr` may show bytes of the request, such as a secret.
        """
        kind, refused = type(error).__name__, refusal(error)
        self._logger.error(
            "a request failed with an internal error; the receiver answered 503, so that the sender tries again",
            kind,
            action="request_failed",
            error=refused or kind,
            exc_info=None if refused else error,
        )

    async def _send(self, answer: HookAnswer, send: Send) -> None:
        headers = [(b"content-length", str(len(answer.body)).encode())]
        if answer.body:
            headers.append((b"content-type", b"application/json"))
        if answer.status in _HEADERS:
            headers.append(_HEADERS[answer.status])
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        self._metrics[answer.org].requests[answer.status].inc()

    async def _answer(self, keyring: Keyring, scope: Scope, receive: Receive) -> HookAnswer:
        method = scope["method"]
        if method not in ("GET", "POST"):
            return HookAnswer(keyring.default_org, 405)
        if self._closing:
            text = "a request came while the forwarder was stopping; answered 503, so that the sender retries"
            self._logger.warning(text, action="stopping_refused")
            return HookAnswer(keyring.default_org, 503)
        headers: Headers = scope["headers"]
        org = keyring.identify(headers)
        if isinstance(org, AuthFailure):
            if method == "POST" or not keyring.open_challenge:
                return self._reject_unauthorized(keyring, org, scope)
            org = keyring.default_org
        elif method == "GET":
            self._refusals.verify(org)
        if method == "GET":
            return self._answer_challenge(org, headers)
        self._refusals.accept(org, self._clock.now())
        began = scope["state"].get("began", self._clock.monotonic())
        status = await self._handle_post(org, headers, receive)
        self._metrics[org].ack.observe(self._clock.monotonic() - began)
        return HookAnswer(org, status)

    def _reject_unauthorized(self, keyring: Keyring, reason: AuthFailure, scope: Scope) -> HookAnswer:
        metrics = self._metrics[keyring.default_org]
        client = scope.get("client")
        address = client[0] if client else ""
        agent = _user_agent(scope)
        metrics.auth_failures[reason].inc()
        if sender(agent) is Sender.OKTA:
            metrics.okta_auth_failures.inc()
        given = {"method": scope["method"], "client": address, "reason": reason.value, "user_agent": agent}
        self._refusals.refuse(keyring.path, self._clock.now(), **given)
        if scope["method"] == "GET":
            self._log_challenge(keyring.default_org, "unauthorized")
        org = keyring.default_org or "NAME"
        self._logger.warning(
            "a request without a valid secret was rejected",
            reason,
            keyring.path,
            action="secret_refused",
            reason=reason.value,
            org=keyring.default_org,
            path=keyring.path,
            client=address,
            hint=f"Okta must send one of orgs.{org}.secrets: run `forwarder hooks sync --org {org} --resend-secret`, "
            "or edit the hook in Okta",
        )
        return HookAnswer(keyring.default_org, 401)

    def _answer_challenge(self, org: str, headers: Headers) -> HookAnswer:
        values = [value for name, value in headers if name == _CHALLENGE_HEADER]
        if len(values) != 1 or not _CHALLENGE.fullmatch(values[0]):
            self._log_challenge(org, "malformed")
            return HookAnswer(org, 400)
        self._log_challenge(org, "verified")
        return HookAnswer(org, 200, msgspec.json.encode({"verification": values[0].decode()}))

    def _log_challenge(self, org: str, outcome: str) -> None:
        self._metrics[org].challenges[outcome].inc()
        self._logger.info(
            "a verification challenge was answered", org, outcome, action="challenge", org=org, outcome=outcome
        )

    async def _handle_post(self, org: str, headers: Headers, receive: Receive) -> int:
        """Commit the events of a POST that carried the secret of `org`, and return the HTTP status of the answer. The
        status is 200 only after the commit."""
        settings = self._settings
        received_at = self._clock.now()
        with self._bodies.body() as held:
            try:
                body = await read_body(headers, receive, settings.max_body, held)
                batch = await parse(body, org=org, received_at=received_at)
                del body  # free its memory now: the events are copies, and a commit may take long
                appended = await self._store.append(batch, timeout=settings.commit_timeout)
            except BadRequestError as error:
                self._log_bad_request(org, error)
                return error.status
            except (StoreError, OverloadedError) as error:
                self._log_not_stored(org, error)
                return 503
        # From here on, every event of this POST is on disk, so the answer is 200 whatever happens next.
        await self._metrics[org].stored.count(appended, len(batch.malformed))
        if batch.malformed:
            text = "elements of a POST are not events; they became dead letters"
            self._logger.warning(text, org, action="malformed_events", org=org, **describe_malformed(batch.malformed))
        return 200

    def _log_bad_request(self, org: str, error: BadRequestError) -> None:
        too_large = "; if Okta sent it, raise `receiver.max_body`" if error.status == 413 else ""
        self._logger.warning(
            "the body of a POST cannot be read as events; Okta does not send it again",
            org,
            str(error.status),
            action="hook_refused",
            org=org,
            status=error.status,
            error=f"{error}{too_large}",
        )

    def _log_not_stored(self, org: str, error: StoreError | OverloadedError) -> None:
        kind = type(error).__name__
        passing = isinstance(error, StoreTimeoutError | OverloadedError)
        log = self._logger.warning if passing else self._logger.error
        text = "a POST could not be stored; answered 503, so that Okta sends it again"
        log(text, org, kind, action="store_refused", org=org, error=str(error) or kind)
