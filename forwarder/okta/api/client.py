"""One org's API, by the official SDK: with its credentials, its rate limit and its retries.

The SDK is imported with the first call, in a thread: a forwarder whose orgs have no `api` never pays for it, and one whose
orgs have it goes on answering Okta meanwhile.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from forwarder import logs
from forwarder.config_types import Secret
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaError, OktaUnreachableError
from forwarder.core.ports import Clock
from forwarder.okta.api import errors, sdk
from forwarder.okta.api.addresses import links_of, origin_of, target_of
from forwarder.okta.api.errors import Refusal
from forwarder.okta.api.port import Answer
from forwarder.okta.api.rate_limits import Bucket, Limits
from forwarder.okta.api.transport import TOKEN_PATH, LostError, Received, Transport
from forwarder.okta.settings import ApiSettings

_RETRIED = {429, 500, 502, 503, 504}
_LIFECYCLE = "/lifecycle/"

_logger = logs.get("okta")


class Patience(msgspec.Struct, frozen=True):
    """How long a call may take.

    Attributes:
        tries: at most, with the first.
        timeout: seconds for one try. Okta itself gives up on a query of its log after 30.
        backoff: between tries, where Okta does not say when.
    """

    tries: int = 5
    timeout: float = 45.0
    backoff: Backoff = Backoff(base=1.0, cap=30.0)


class _Order(msgspec.Struct, frozen=True):
    """A request.

    Attributes:
        target: path and query.
        repeatable: to send it twice does no more than to send it once.
    """

    method: str
    target: str
    body: Any
    repeatable: bool

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class OktaClient:
    """`okta.api.Api`, for real."""

    def __init__(
        self,
        url: str,
        settings: ApiSettings,
        rate_share: float,
        clock: Clock,
        *,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        dice: Callable[[], float] = random.random,
    ) -> None:
        """Args:
        url: the org's own.
        settings: its credentials.
        rate_share: of each of Okta's rate limits, from ]0, 1].
        clock: to wait by.
        patience: how long a call may take.
        dice: from [0, 1), for the jitter.

        Raises:
            SettingsError: `url` is no address that credentials may be sent to.
        """
        self._origin = origin_of(url)
        self._settings = settings
        self._credentials = _credentials(settings)
        self._limits = Limits(rate_share, clock)
        self._transport = Transport(self._limits, patience.timeout)
        self._patience = patience
        self._clock = clock
        self._dice = dice
        self._executor: Any = None
        self._making = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OktaClient({self._origin!r})"

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """As `Api.call`. Calls of one family of endpoints are sent one after the other.

        A call is tried again where that cannot do harm: where it was surely not carried out, or where to carry it out
        twice changes nothing (all but a POST that creates).
        """
        method = method.upper()
        target = target_of(self._origin, path, query)
        order = _Order(method, target, body, repeatable=method != "POST" or _LIFECYCLE in target)
        bucket = self._limits.bucket(order.path)
        async with bucket.turn:
            return await self._tried(order, bucket)

    def allowance(self, path: str) -> int | None:
        """How many calls a minute to `path` and its like are within our share; None before Okta has told its limit."""
        return self._limits.bucket(path).allowance

    async def close(self) -> None:
        """As `Api.close`."""
        self._executor = None
        await self._transport.close()

    async def _tried(self, order: _Order, bucket: Bucket) -> Answer:
        """Send `order`, again and again where that may help.

        Raises:
            OktaError: as `call`.
        """
        tries = 0
        unsure = renewed = False
        while True:
            await self._admitted(bucket)
            result = await self._sent(order)
            if isinstance(result, Received):
                return Answer(result.status, result.content, links_of(result.links))
            tries += 1
            status = result.status if isinstance(result, Refusal) else 0
            if status == 401 and not renewed and await self._renewed(result):
                renewed = True
                continue
            if status == 404 and unsure and order.method == "DELETE":
                return Answer(204, b"", {})  # an earlier try deleted it, and its answer got lost
            if tries >= self._patience.tries or not _worth_another(order, result):
                raise self._error(order, result, tries)
            unsure = unsure or status != 429
            await self._paused(order, bucket, result, tries)

    async def _admitted(self, bucket: Bucket) -> None:
        if self._credentials.token is None:
            await self._limits.bucket(TOKEN_PATH).admitted()  # a token may have to be fetched first
        await bucket.admitted()

    async def _sent(self, order: _Order) -> "Received | _Fault":
        """Send `order` once; the SDK fetches a token first where there is none.

        Returns:
            A 2xx answer, or what there is instead.
        """
        executor = await self._made()
        try:
            # Without keep_empty_params it leaves out each null and each empty list, and nothing could be emptied.
            request, error = await executor.create_request(
                order.method, self._origin + order.target, order.body, keep_empty_params=True
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            # The SDK trips over a token endpoint that answers something else, as a proxy's page.
            return LostError(
                f"{self._origin}{TOKEN_PATH} answers with something that is no token", sent=False
            )
        if error is not None:
            return _of_token(error)
        _, received, _, error = await executor.fire_request(request)
        if received is None:
            return error if isinstance(error, LostError) else LostError("no answer", sent=True)
        if 200 <= received.status < 300:
            answer: Received = received
            return answer
        return errors.read(received.status, received.content, received.headers.get("location", ""))

    async def _made(self) -> Any:
        """The SDK's executor; made with the first call, and with new credentials."""
        async with self._making:
            if self._executor is None:
                self._executor = await asyncio.to_thread(
                    sdk.executor, self._origin, self._credentials, self._transport
                )
            return self._executor

    async def _renewed(self, refusal: "_Fault") -> bool:
        """After a 401: begin anew with the credentials as their files hold them now, or with another access token, for
        the SDK keeps one that was revoked until its hour is over. False where nothing would be different."""
        try:
            credentials = await asyncio.to_thread(_credentials, self._settings, reread=True)
        except ValueError:  # the file is gone; what we have may be good yet
            credentials = self._credentials
        of_api = isinstance(refusal, Refusal) and not refusal.token
        if credentials == self._credentials and (credentials.token is not None or not of_api):
            return False
        self._credentials, self._executor = credentials, None
        return True

    async def _paused(self, order: _Order, bucket: Bucket, result: "_Fault", tries: int) -> None:
        """Wait before the next try; where the rate limit is used up, `_admitted` knows until when."""
        used_up = bucket.closed or self._limits.bucket(TOKEN_PATH).closed
        if isinstance(result, Refusal) and result.status == 429 and used_up:
            return
        wait = self._patience.backoff.delay(tries, self._dice())
        _logger.debug(
            "asks Okta again",
            action="okta_retry",
            call=f"{order.method} {order.path}",
            status=result.status if isinstance(result, Refusal) else None,
            seconds=round(wait, 1),
        )
        await self._clock.sleep(wait)

    def _error(self, order: _Order, result: "_Fault", tries: int) -> OktaError:
        """The error that the caller gets; without a secret, whatever Okta said."""
        if isinstance(result, LostError):
            times = f"; {tries} tries" if tries > 1 else ""
            return OktaUnreachableError(f"{order.method} {self._origin}{order.path}: {result}{times}")
        secrets = (self._credentials.token or "", self._credentials.private_key)
        clean = msgspec.structs.replace(
            result,
            code=errors.scrubbed(result.code, secrets),
            summary=errors.scrubbed(result.summary, secrets),
        )
        call = order.method, self._origin, order.path
        return errors.refused(call, clean, app=self._credentials.token is None)


_Fault = Refusal | LostError


def _worth_another(order: _Order, result: _Fault) -> bool:
    """Whether another try may help, and cannot do harm."""
    if isinstance(result, LostError):
        return order.repeatable or not result.sent
    if result.status not in _RETRIED:
        return False
    return order.repeatable or result.token or result.status == 429


def _of_token(error: Any) -> _Fault:
    """What the SDK tells of a token that it did not get."""
    status = getattr(error, "status", None)
    if not isinstance(status, int):
        # Not carried out: the call itself never went out.
        return LostError(str(error) if isinstance(error, LostError) else "no access token", sent=False)
    # With an error of DPoP it puts advice to developers around the server's words.
    words = str(getattr(error, "error_summary", ""))
    words = words.rpartition("Server error: ")[2].partition("\n\nACTION")[0]
    location = getattr(error, "headers", {}).get("location", "")
    return Refusal(
        status, str(getattr(error, "error_code", "")), words, urlsplit(location).netloc, token=True
    )


def _credentials(settings: ApiSettings, *, reread: bool = False) -> sdk.Credentials:
    """What the operator set, in clear.

    Args:
        settings: the operator's.
        reread: look at the sources again.

    Raises:
        ValueError: a source is gone or empty.
    """

    def clear(secret: Secret | None) -> str | None:
        if secret is None:
            return None
        return (secret.reread() if reread else secret).reveal()

    return sdk.Credentials(
        clear(settings.token),
        settings.client_id or "",
        clear(settings.private_key) or "",
        settings.key_id,
        settings.scopes,
        settings.dpop,
    )
