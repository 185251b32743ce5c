"""Settings of the emulated org: who may call it, how many events it emits, and which faults it injects."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from forwarder.config.types import Duration, PathStr, Secret, Section

_Share = Annotated[float, Field(ge=0, le=1)]


def _with_unit(value: Any) -> Any:
    """Append the unit `s` to a number; return any other value unchanged."""
    return f"{value}s" if isinstance(value, int | float) and not isinstance(value, bool) else value


Seconds = Annotated[Duration, BeforeValidator(_with_unit)]
"""A time with a unit. In a JSON body it can also be a number of seconds."""


class LogFaults(Section):
    """Faults of the System Log.

    The values of the first five faults are shares: with 0.1, every tenth API call has the fault.

    Attributes:
        rate_limited: answers 429, as if the calls of this minute were used up.
        concurrency_limited: answers 429, as if too many calls ran at once: `X-Rate-Limit-Limit` is 0.
        server_error: answers 500.
        no_response: waits as long as `EmulatorSettings.query_timeout`, then answers 500.
        cursor_expired: refuses a call with a cursor, as Okta does when the cursor has expired.
        reset: time from an injected 429 response to the time in its `X-Rate-Limit-Reset` header.
        delay: time from an event until the System Log has it.
        spread: the largest random time that is added to `delay`. It makes the log store events in an order other than
            the order of `published`.
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
    """Faults of API calls.

    The values of the first four faults are shares: with 0.1, every tenth call has the fault.

    Attributes:
        rate_limited: answers 429, and changes nothing.
        error_before: answers 503, and changes nothing.
        error_after: makes the change, but answers 503.
        no_response: makes the change, waits as long as `EmulatorSettings.query_timeout`, then answers 503.
        reset: time from a response with a fault to the time in its `X-Rate-Limit-Reset` header.
        retry_after: the time in the `Retry-After` header of a 503; 0 leaves the header out.
        delay: time that each call waits before it is handled or refused.
        only: if not empty, only calls whose path contains this text have these faults.
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
    """All faults that the org injects. Each hook draws its faults independently of other hooks.

    Attributes:
        drop: share of events that a hook never delivers.
        duplicate: share of events that a hook delivers twice.
        reorder: whether about half of the events wait up to one second longer than `delay`.
        delay: time from an event to its first POST.
        log: faults of the System Log.
        changes: faults of the calls that can change something.
        polls: faults of the calls that poll for the answer to a prompt.
        reads: faults of all other reads below /api/v1, except reads of the System Log.
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
"""All scopes that the org knows: each is needed for some call."""


class ClientSettings(Section):
    """A service app, or a web app with CIBA.

    Attributes:
        keys: the app's keys, as PEM or JWK, public or private. An assertion of the app must be signed by one
            of these keys.
        secret: the client secret of a web app that authenticates with a secret.
        ciba: whether the app is a web app with the CIBA grant.
        request_alg: the algorithm of the app's signed CIBA requests; if empty, the app may not sign requests.
        scopes: the scopes that the app may request; by default all scopes that the org knows.
        dpop: whether the app's access tokens must be bound to a key (DPoP). This is Okta's default for new
            apps.
        admin: whether the app is a super administrator. If not, its custom roles decide what it may do;
            without any role, all its calls of Okta's API are refused, as in Okta.
    """

    keys: tuple[Secret, ...] = ()
    secret: Secret | None = None
    ciba: bool = False
    request_alg: str = ""
    scopes: tuple[str, ...] = SCOPES
    dpop: bool = True
    admin: bool = True


class EmulatorSettings(Section):
    """Settings of one emulated org.

    Attributes:
        token: the API token (`Authorization: SSWS <token>`).
        clients: service apps and web apps, by client id.
        url: the org's URL. This URL is in links and deliveries, and in the assertions and proofs that callers sign.
        rate: events per second that the org emits by itself.
        seed: the same seed gives the same people, events and faults; None draws a random seed.
        faults: the faults at the start.
        batch: the largest number of events in one POST.
        window: how long a POST with fewer events than `batch` waits for more (Okta: about 10 s).
        timeout: how long a receiver may take to answer.
        quota: the largest number of events that all hooks together carry in 24 hours. At 70 %, the org writes
            a warning to the System Log. Events above the quota are lost.
        in_flight: the largest number of concurrent POSTs to one hook.
        edge_case_share: share of events with unusual but legal contents.
        odd_types: whether an event with unusual contents may also have a number as `version` or `postalCode`,
            or a result that is not in Okta's list. One event of this kind makes Okta's typed SDKs lose a
            whole page of the System Log.
        log_only_share: share of events whose type hooks cannot carry.
        calls_per_minute: rate limit of the org: the number of calls in a minute. One token or app may use
            half of this number: by default 1000 calls, as in recordings of real orgs.
        logs_per_minute: rate limit of the System Log's API (Okta: at most 120). One token or app may use half
            of this number.
        query_timeout: how long a call with the fault `no_response` waits for its answer.
        push_lifetime: how long a factor push waits for an answer.
        ca_file: PEM file with the CA certificates that the org trusts when it calls receivers and providers;
            None for the CAs of the system.
    """

    token: Secret
    clients: dict[str, ClientSettings] = Field(default_factory=dict)
    url: str = "http://127.0.0.1:8085"
    rate: float = Field(0.0, ge=0, le=100_000)
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
