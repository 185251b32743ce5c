"""Settings of the emulated org: who may call it, how many events it emits, and which faults it injects."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from forwarder.config.types import Duration, PathStr, Secret, Section

_Share = Annotated[float, Field(ge=0, le=1)]


def _with_unit(value: Any) -> Any:
    """Accept a number of seconds in a JSON body, beside a time with a unit."""
    return f"{value}s" if isinstance(value, int | float) and not isinstance(value, bool) else value


Seconds = Annotated[Duration, BeforeValidator(_with_unit)]
"""A time with a unit, or in a JSON body also a number of seconds."""


class LogFaults(Section):
    """Faults of the System Log: of its API, as shares of the calls, and of the way of events into it.

    Attributes:
        rate_limited: answers 429, as when the calls of this minute are used up.
        concurrency_limited: answers 429, as when too many calls run at once: the rate limit's headers are 0.
        server_error: answers 500.
        no_response: gives no answer for `EmulatorSettings.query_timeout`, then answers 500.
        cursor_expired: refuses a call with a cursor, as Okta does when the cursor has expired.
        reset: time until `X-Rate-Limit-Reset` of a call that is `rate_limited`.
        delay: time from an event until it is in the log.
        spread: largest random addition to `delay`; it makes the log's order differ from that of `published`.
    """

    rate_limited: _Share = 0.0
    concurrency_limited: _Share = 0.0
    server_error: _Share = 0.0
    no_response: _Share = 0.0
    cursor_expired: _Share = 0.0
    reset: Seconds = Field("1s", validate_default=True)
    delay: Seconds = Field("0s", validate_default=True)
    spread: Seconds = Field("0s", validate_default=True)


class ChangeFaults(Section):
    """Faults of calls, as shares of them.

    Attributes:
        rate_limited: answers 429, and changes nothing.
        error_before: answers 503, and changes nothing.
        error_after: answers 503, though the change was made.
        no_response: makes the change, and gives no answer for `EmulatorSettings.query_timeout`, then 503.
        reset: time until `X-Rate-Limit-Reset` of a call that is `rate_limited`.
        retry_after: value of `Retry-After` of a 503; 0: without it.
        delay: time until a call is handled, or refused.
        only: a part of the path of calls with these faults; empty: all of them.
    """

    rate_limited: _Share = 0.0
    error_before: _Share = 0.0
    error_after: _Share = 0.0
    no_response: _Share = 0.0
    reset: Seconds = Field("0s", validate_default=True)
    retry_after: Seconds = Field("0s", validate_default=True)
    delay: Seconds = Field("0s", validate_default=True)
    only: str = ""


class Faults(Section):
    """Faults of the org. Each hook draws its own ones.

    Attributes:
        drop: share of events that a hook never delivers.
        duplicate: share of events that a hook delivers twice.
        reorder: about half of the events are up to a second late.
        delay: time from an event to its first POST.
        log: of the System Log.
        changes: of the calls that change something.
        polls: of the calls that poll for the answer to a prompt.
        reads: of all other reads below /api/v1, the System Log excepted.
    """

    drop: _Share = 0.0
    duplicate: _Share = 0.0
    reorder: bool = False
    delay: Seconds = Field("0s", validate_default=True)
    log: LogFaults = LogFaults()
    changes: ChangeFaults = ChangeFaults()
    polls: ChangeFaults = ChangeFaults()
    reads: ChangeFaults = ChangeFaults()


SCOPES = (
    "okta.eventHooks.read", "okta.eventHooks.manage", "okta.logs.read", "okta.users.read", "okta.users.manage",
    "okta.userRisk.read", "okta.userRisk.manage", "okta.groups.read", "okta.groups.manage", "okta.roles.read",
    "okta.roles.manage", "okta.networkZones.read", "okta.networkZones.manage", "okta.universalLogout.manage",
    "okta.securityEventsProviders.read", "okta.securityEventsProviders.manage",
)  # fmt: skip
"""Every scope that some call of the org needs."""


class ClientSettings(Section):
    """A service app, or a web app with CIBA.

    Attributes:
        keys: PEM or JWK, public or private; one of them must have signed the app's assertions.
        secret: of a web app that authenticates with one.
        ciba: whether it is a web app with the grant of CIBA.
        request_alg: the algorithm of its signed requests of CIBA; empty: it may not sign any.
        scopes: the scopes that the app may request; by default all that the org knows.
        dpop: whether its tokens are bound to a key, Okta's default for new apps.
        admin: whether it is a super admin. Without, it may do what the custom roles allow that it is given; Okta refuses
            every call of an app without any role.
    """

    keys: tuple[Secret, ...] = ()
    secret: Secret | None = None
    ciba: bool = False
    request_alg: str = ""
    scopes: tuple[str, ...] = SCOPES
    dpop: bool = True
    admin: bool = True


class EmulatorSettings(Section):
    """An emulated org.

    Attributes:
        token: the API token (`Authorization: SSWS <token>`).
        clients: service apps by client id.
        url: the URL of the org; it is part of links, of envelopes and of the proofs of callers.
        rate: events per second that the org emits by itself.
        seed: the same seed gives the same people, events and faults; None draws one.
        faults: the faults at the start.
        batch: most events in one POST.
        window: how long a POST that is not full waits for more events (Okta: about 10 s).
        timeout: how long a receiver may take to answer.
        quota: most events that all hooks carry in 24 hours; the org's log warns at 70 %, and more are lost.
        in_flight: most concurrent POSTs to one hook.
        edge_case_share: share of events with something unusual but legal in them.
        odd_types: whether those hold numbers as `version` or `postalCode`, and results that are not in Okta's list. Okta's
            typed SDKs lose a whole page of the System Log to one of them.
        log_only_share: share of events whose type hooks cannot carry.
        calls_per_minute: rate limit of the org; one token or app may use half of it: the 1000 of recordings.
        logs_per_minute: rate limit of the System Log, which has its own (Okta: at most 120).
        query_timeout: how long a call of the System Log may take.
        push_lifetime: how long a factor push waits for an answer.
        ca_file: CA certificates for receivers; None: the usual ones.
    """

    token: Secret
    clients: dict[str, ClientSettings] = Field(default_factory=dict)
    url: str = "http://127.0.0.1:8085"
    rate: float = Field(0.0, ge=0)
    seed: int | None = None
    faults: Faults = Faults()
    batch: int = Field(10, ge=1)
    window: Duration = Field("50ms", validate_default=True)
    timeout: Duration = Field("3s", validate_default=True)
    in_flight: int = Field(8, ge=1)
    quota: int = Field(400_000, ge=1)
    edge_case_share: _Share = 0.01
    odd_types: bool = False
    log_only_share: _Share = 0.0
    calls_per_minute: int = Field(2000, ge=1)
    logs_per_minute: int = Field(2000, ge=1)
    query_timeout: Duration = Field("30s", validate_default=True)
    push_lifetime: Duration = Field("5m", validate_default=True)
    ca_file: PathStr | None = None
