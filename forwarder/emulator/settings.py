"""What the emulated org can be told: who may call it, how much happens in it, and which faults its hooks have."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from forwarder.config_types import Duration, PathStr, Secret, Section

_Share = Annotated[float, Field(ge=0, le=1)]


def _with_unit(value: Any) -> Any:
    """A bare number of seconds is as good as a time with a unit in a JSON body."""
    return f"{value}s" if isinstance(value, int | float) and not isinstance(value, bool) else value


_Seconds = Annotated[Duration, BeforeValidator(_with_unit)]


class LogFaults(Section):
    """What goes wrong with the System Log: with its API, by shares of the calls, and with the way of events into it.

    Attributes:
        rate_limited: share of calls answered 429, as when the minute's calls are spent.
        concurrency_limited: share of calls answered 429, as when too many are made at once: the limit's headers are 0.
        server_error: share of calls answered 500.
        no_response: share of calls that get no answer for `EmulatorSettings.query_timeout`, and then a 500.
        cursor_expired: share of calls with a cursor that are told that it has expired.
        reset: how soon a limited caller is told to come again.
        delay: how long an event takes from its happening into the log.
        spread: up to so much longer, by chance, so that the log's order is not that of `published`.
    """

    rate_limited: _Share = 0.0
    concurrency_limited: _Share = 0.0
    server_error: _Share = 0.0
    no_response: _Share = 0.0
    cursor_expired: _Share = 0.0
    reset: _Seconds = Field("1s", validate_default=True)
    delay: _Seconds = Field("0s", validate_default=True)
    spread: _Seconds = Field("0s", validate_default=True)


class Faults(Section):
    """What goes wrong in the org. Each hook draws its own faults.

    Attributes:
        drop: share of events that are never delivered.
        duplicate: share of events that are delivered twice.
        reorder: about half of the events come late, by up to a second.
        delay: how long every event waits before its first POST.
        log: what goes wrong with the System Log.
    """

    drop: _Share = 0.0
    duplicate: _Share = 0.0
    reorder: bool = False
    delay: _Seconds = Field("0s", validate_default=True)
    log: LogFaults = LogFaults()


class ClientSettings(Section):
    """A service app.

    Attributes:
        keys: PEM or JWK, public or private; assertions must be signed by one of them.
        scopes: that it may ask for.
        dpop: its tokens are bound to a key, as is usual for new apps.
        admin: it has an admin role; without one its scopes help nothing.
    """

    keys: tuple[Secret, ...]
    scopes: tuple[str, ...] = ("okta.eventHooks.read", "okta.eventHooks.manage", "okta.logs.read")
    dpop: bool = True
    admin: bool = True


class EmulatorSettings(Section):
    """An emulated org.

    Attributes:
        token: the API token that callers must show (`Authorization: SSWS <token>`).
        clients: service apps by their id: they get tokens of their own by a signed assertion.
        token_life: how long such a token holds (Okta: an hour).
        url: how callers reach this org; it stands in `source`, in every link, in the events, and in proofs of callers.
        rate: events per second that happen by themselves; 0 for none.
        seed: the same seed makes the same people, events and faults; None draws one.
        faults: what goes wrong at the start.
        batch: most events in one POST.
        window: how long a POST that is not full waits for more events (Okta: about 10 s).
        timeout: how long a receiver may take to answer.
        retry_after: time from a failed attempt to the second one (Okta documents none).
        retry_renames: the second attempt has an `eventId` of its own (Okta documents neither).
        propagation: how long a change of a hook takes until events go by it (Okta: up to several minutes).
        stale_updates: a PUT is answered with the `lastUpdated` of before, as recordings show.
        nulls: whether hooks carry keys without a value, as Okta's preview does, or leave them out.
        quota: events that all hooks may carry in 24 hours; the org's log warns at 70 %, and more are lost.
        quiet_failures: so many failures of a hook in 15 minutes end its deliveries for as long (Okta's docs said 1500
            until 2024); None for never.
        in_flight: most POSTs on their way to one hook at a time.
        edge_case_share: share of events with something unusual, but legal, in them.
        log_only_share: share of events whose type no hook carries: the System Log alone has them.
        history: how many events the System Log remembers.
        calls_per_minute: API calls that the org answers; more get a 429. With half of it, a token sees the 1000 of recordings.
        logs_per_minute: as `calls_per_minute`, of the System Log, which has a limit of its own (Okta: 120 and fewer).
        principal_share: share of these limits that one token or app may use.
        query_timeout: how long a call of the System Log may take before the org gives it up.
        ca_file: CA certificates for receivers with a certificate of their own.
    """

    token: Secret
    clients: dict[str, ClientSettings] = Field(default_factory=dict)
    token_life: Duration = Field("1h", validate_default=True)
    url: str = "http://127.0.0.1:8085"
    rate: float = Field(0.0, ge=0)
    seed: int | None = None
    faults: Faults = Faults()
    batch: int = Field(10, ge=1)
    window: Duration = Field("50ms", validate_default=True)
    timeout: Duration = Field("3s", validate_default=True)
    retry_after: Duration = Field("0ms", validate_default=True)
    retry_renames: bool = False
    propagation: Duration = Field("0s", validate_default=True)
    stale_updates: bool = True
    nulls: Literal["omit", "explicit"] = "omit"
    quota: int = Field(400_000, ge=1)
    quiet_failures: int | None = Field(None, ge=1)
    in_flight: int = Field(8, ge=1)
    edge_case_share: _Share = 0.01
    log_only_share: _Share = 0.0
    history: int = Field(100_000, ge=1)
    calls_per_minute: int = Field(2000, ge=1)
    logs_per_minute: int = Field(2000, ge=1)
    principal_share: float = Field(0.5, gt=0, le=1)
    query_timeout: Duration = Field("30s", validate_default=True)
    ca_file: PathStr | None = None
