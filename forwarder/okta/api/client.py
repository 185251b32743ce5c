"""Calls one org's API through the official SDK, with credentials, rate limits and retries.

The SDK is imported in a thread at the first call. So a forwarder whose orgs have no `api` never loads the SDK, and any
other forwarder still answers Okta's hooks while the import runs.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Self

import msgspec

from forwarder import logs
from forwarder.config.types import Secret
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaError, OktaUnreachableError
from forwarder.core.ports import Clock
from forwarder.core.urls import split_url
from forwarder.okta.api import errors, sdk_executor
from forwarder.okta.api.errors import ErrorResponse, NoResponseError
from forwarder.okta.api.metrics import ApiMetrics
from forwarder.okta.api.port import OktaTooLargeError, Response
from forwarder.okta.api.rate_limits import RateLimiter, RateLimits
from forwarder.okta.api.transport import PROXIES, TOKEN_PATH, RawResponse, Transport
from forwarder.okta.api.urls import target_of
from forwarder.okta.settings import ApiSettings, org_origin

_RETRIED = {429, 500, 502, 503, 504}
_LIFECYCLE = "/lifecycle/"
_LONGEST_TURN = 5.0
"""How many seconds a request of `send_once` may wait for its turn. A GET may wait longer; any other request is then not
sent."""

_logger = logs.get("okta")


class RetryPolicy(msgspec.Struct, frozen=True):
    """How many attempts a call gets, how long each attempt may take, and how long to wait between two attempts.

    Attributes:
        attempts: the maximum number of attempts of a call, including the first.
        timeout: seconds per attempt. Okta itself gives up on a query of its log after 30 s.
        backoff: the wait between attempts. It does not apply after a 429 if the rate limit is used up: then the next
            attempt waits until the limit resets.
        give_up_after: seconds since the first attempt after which no other attempt is made, except after a 429.
    """

    attempts: int = 5
    timeout: float = 45.0
    backoff: Backoff = Backoff(base=1.0, cap=30.0)
    give_up_after: float = math.inf


IN_COMMAND = RetryPolicy(timeout=20.0, give_up_after=25.0)
"""The policy of a command, for which a person waits: each call ends within a minute."""


class _Request(msgspec.Struct, frozen=True):
    """A request. `target` is the path with the query. `is_repeatable`: sending the request twice has the same effect as
    sending it once."""

    method: str
    target: str
    body: Any
    is_repeatable: bool

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


_Failure = ErrorResponse | NoResponseError


class OktaClient:
    """An `Api` that calls Okta over HTTP."""

    def __init__(  # noqa: PLR0913  # the last three are set only by tests
        self,
        url: str,
        settings: ApiSettings,
        rate_share: float,
        clock: Clock,
        *,
        metrics: ApiMetrics | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  # frozen
        random: Callable[[], float] = random.random,
    ) -> None:
        """Create the client; the first call connects. `rate_share` is the share of each of Okta's rate limits that the
        client may use: more than 0, at most 1.

        Raises:
            ValueError: credentials must not be sent to `url`.
        """
        self._origin = org_origin(url)
        self._settings = settings
        self._credentials = _credentials(settings)
        self._limits = RateLimits(rate_share, clock)
        self._transport = Transport(self._limits, retry.timeout, metrics)
        self._retry = retry
        self._clock = clock
        self._random = random
        self._executor: Any = None
        self._executor_lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OktaClient({self._origin!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        """Implement `Api.call`. Calls that share a rate limit are sent one after the other.

        A failed call is retried only if a retry does no harm: either Okta certainly did not carry out the call, or the
        repeated call has no further effect. Only a POST that creates something has a further effect if it is repeated.
        """
        method = method.upper()
        target = target_of(self._origin, path, query)
        request = _Request(method, target, body, is_repeatable=method != "POST" or _LIFECYCLE in target)
        limiter = self._limits.limiter(request.path)
        async with limiter.lock:
            return await self._send_with_retries(request, limiter)

    async def ready(self, path: str) -> None:
        """Wait until our share of the rate limit of `path` allows a call. `path` may be a full URL of the org.

        Raises:
            OktaRefusedError: `path` is a URL of another host.
        """
        await self._limits.limiter(target_of(self._origin, path, None)).acquire()

    async def send_once(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> RawResponse | ErrorResponse | NoResponseError:
        """Send one request without retries. Return the response or the failure; a failure is returned, not raised.

        After a 401, the request is sent once more if the credentials are new or a new access token can be fetched. This
        is safe, because Okta has not carried out the first request.

        A request other than a GET may have to wait for other calls or for the rate limit. If the request waits longer
        than _LONGEST_TURN, it is not sent, because what the caller checked before may no longer be true.
        """
        request = _Request(method.upper(), target_of(self._origin, path, query), body, is_repeatable=False)
        limiter = self._limits.limiter(request.path)
        began = self._clock.monotonic()
        async with limiter.lock:
            await limiter.acquire()
            if request.method != "GET" and self._clock.monotonic() - began > _LONGEST_TURN:
                text = f"{request.method} {request.path} had to wait for other calls or for Okta's rate limit"
                return NoResponseError(text, sent=False)
            result = await self._send_once(request)
            is_refused = isinstance(result, ErrorResponse) and result.status == 401
            if is_refused and await self._refresh_credentials(result):
                result = await self._send_once(request)
            return result

    def explain(self, method: str, path: str, failure: ErrorResponse | NoResponseError) -> str:
        """Return the error text for a failure of `send_once`: which call failed, why, and what to do."""
        target = target_of(self._origin, path, None)
        return str(self._error(_Request(method, target, None, is_repeatable=False), failure, 1))

    def allowance(self, path: str) -> int | None:
        """Return our share of the rate limit of `path`, in calls per minute; None if no response has stated the limit
        yet."""
        return self._limits.limiter(path).allowance

    async def close(self) -> None:
        self._executor = None
        await self._transport.close()

    async def _send_with_retries(self, request: _Request, limiter: RateLimiter) -> Response:
        attempts = 0
        may_be_done = refreshed = False
        gives_up_at = math.inf
        while True:
            if self._credentials.token is None:
                await self._limits.limiter(TOKEN_PATH).acquire()  # a token may have to be fetched first
            await limiter.acquire()
            gives_up_at = min(gives_up_at, self._clock.monotonic() + self._retry.give_up_after)
            result = await self._send_once(request)
            if isinstance(result, RawResponse):
                return result.as_response()
            attempts += 1
            status = result.status if isinstance(result, ErrorResponse) else 0
            if status == 401 and not refreshed and await self._refresh_credentials(result):
                refreshed = True
                continue
            if status == 404 and may_be_done and request.method == "DELETE":
                return Response(204, b"", {})  # an earlier attempt deleted it, and its response was lost
            is_over = status != 429 and self._clock.monotonic() >= gives_up_at
            if is_over or attempts >= self._retry.attempts or not _is_retryable(request, result):
                raise self._error(request, result, attempts)
            may_be_done = may_be_done or status != 429
            await self._back_off(request, limiter, result, attempts)

    async def _send_once(self, request: _Request) -> RawResponse | _Failure:
        """Send `request` once, and return the 2xx response or the failure. If the SDK has no valid access token, the
        SDK fetches one first."""
        executor = await self._get_executor()
        try:
            # Without keep_empty_params the SDK drops nulls and empty lists, so no property could be emptied.
            prepared, error = await executor.create_request(
                request.method, self._origin + request.target, request.body, keep_empty_params=True
            )
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            # The SDK raises these if the token endpoint answers with something else, such as a proxy's page.
            text = f"{self._origin}{TOKEN_PATH} answers with something that is not a token"
            return NoResponseError(text, sent=False, hint=PROXIES)
        if error is not None:
            return _token_failure(error)
        _, response, _, error = await executor.fire_request(prepared)
        if response is None:
            return error if isinstance(error, NoResponseError) else NoResponseError("no response", sent=True)
        if 200 <= response.status < 300:
            success: RawResponse = response
            return success
        return errors.read_error(response.status, response.content, response.headers)

    async def _get_executor(self) -> Any:
        """Return the SDK's request executor. Create it at the first call, and again after the credentials changed."""
        async with self._executor_lock:
            if self._executor is None:
                self._executor = await asyncio.to_thread(
                    sdk_executor.executor, self._origin, self._credentials, self._transport
                )
            return self._executor

    async def _refresh_credentials(self, failure: RawResponse | _Failure) -> bool:
        """After a 401, read the credentials again, and drop the SDK's cached access token, which may be revoked.

        Return whether another attempt can help: the credentials are new, or an access token was dropped.
        """
        try:
            credentials = await asyncio.to_thread(_credentials, self._settings, reread=True)
        except ValueError:  # the file is gone; the credentials read before may still be valid
            credentials = self._credentials
        from_api = isinstance(failure, ErrorResponse) and not failure.from_token_endpoint
        if credentials == self._credentials and (credentials.token is not None or not from_api):
            return False
        self._credentials, self._executor = credentials, None
        return True

    async def _back_off(self, request: _Request, limiter: RateLimiter, failure: _Failure, attempts: int) -> None:
        """Wait before the next attempt. If the rate limit is used up after a 429, return immediately:
        `RateLimiter.acquire` waits."""
        exhausted = limiter.exhausted or self._limits.limiter(TOKEN_PATH).exhausted
        status = failure.status if isinstance(failure, ErrorResponse) else None
        if status == 429 and exhausted:
            return
        wait = self._retry.backoff.delay(attempts, self._random())
        _logger.debug(
            "retrying a call of Okta's API",
            action="okta_retry",
            call=f"{request.method} {request.path}",
            status=status,
            seconds=round(wait, 1),
        )
        await self._clock.sleep(wait)

    def _error(self, request: _Request, failure: _Failure, attempts: int) -> OktaError:
        if isinstance(failure, NoResponseError):
            times = f"; {attempts} attempts" if attempts > 1 else ""
            hint = f"; {failure.hint}" if failure.hint else ""
            text = f"{request.method} {self._origin}{request.path}: {failure}{times}{hint}"
            return OktaTooLargeError(text, failure.cut) if failure.too_large else OktaUnreachableError(text)
        call = request.method, self._origin, request.path
        return errors.refused(call, failure, app=self._credentials.token is None)


def _is_retryable(request: _Request, failure: _Failure) -> bool:
    """Whether another attempt may succeed and does no harm."""
    if isinstance(failure, NoResponseError):
        return not failure.too_large and (request.is_repeatable or not failure.sent)
    if failure.status not in _RETRIED:
        return False
    return request.is_repeatable or failure.from_token_endpoint or failure.status == 429


def _token_failure(error: Any) -> _Failure:
    """Convert the SDK's error about a failed request for an access token to a failure of the call that needed the
    token. The call was not sent."""
    status = getattr(error, "status", None)
    if not isinstance(status, int):
        if isinstance(error, NoResponseError):
            return NoResponseError(str(error), sent=False, hint=error.hint)
        return NoResponseError("no access token", sent=False)
    # The SDK puts advice for developers before and after the text of a DPoP error.
    summary = str(getattr(error, "error_summary", ""))
    summary = summary.rpartition("Server error: ")[2].partition("\n\nACTION")[0]
    code = errors.redacted(getattr(error, "error_code", ""))
    summary = errors.redacted(summary, errors.SUMMARY_LIMIT)
    if 200 <= status < 300:  # as the status of the call, it would mean that Okta has carried out the call
        text = f"{TOKEN_PATH} answers {status} with the error {code}: {summary}"
        return NoResponseError(text, sent=False, hint=PROXIES)
    redirect_host = split_url(getattr(error, "headers", {}).get("location", "")).netloc
    return ErrorResponse(status, code, summary, redirect_host, from_token_endpoint=True)


def _credentials(settings: ApiSettings, *, reread: bool = False) -> sdk_executor.Credentials:
    """Return the configured credentials in clear text. If `reread` is true, read each secret again from its file or
    environment variable.

    Raises:
        ValueError: a file or variable that holds a secret is gone or empty.
    """

    def clear(secret: Secret | None) -> str | None:
        if secret is None:
            return None
        return (secret.reread() if reread else secret).reveal()

    return sdk_executor.Credentials(
        clear(settings.token),
        settings.client_id or "",
        clear(settings.private_key) or "",
        settings.key_id,
        settings.scopes,
        settings.dpop,
    )
