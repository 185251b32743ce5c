"""What the emulated org can be told: who may call it, how much happens in it, and which faults its hooks have."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from forwarder.values import Duration, PathStr, Secret, Section

_Share = Annotated[float, Field(ge=0, le=1)]


def _with_unit(value: Any) -> Any:
    """A bare number of seconds is as good as a time with a unit in a JSON body."""
    return f"{value}s" if isinstance(value, int | float) and not isinstance(value, bool) else value


class Faults(Section):
    """What goes wrong between the org and its hooks. Each hook draws its own faults.

    Attributes:
        drop: share of events that are never delivered.
        duplicate: share of events that are delivered twice.
        reorder: about half of the events come late, by up to a second.
        delay: how long every event waits before its first POST.
    """

    drop: _Share = 0.0
    duplicate: _Share = 0.0
    reorder: bool = False
    delay: Annotated[Duration, BeforeValidator(_with_unit)] = Field("0s", validate_default=True)


class EmulatorSettings(Section):
    """An emulated org.

    Attributes:
        token: the API token that callers must show (`Authorization: SSWS <token>`).
        url: how callers reach this org; it stands in `source`, in every link and in the events.
        rate: events per second that happen by themselves; 0 for none.
        seed: the same seed makes the same people, events and faults; None draws one.
        faults: what goes wrong at the start.
        batch: most events in one POST.
        window: how long a POST that is not full waits for more events (Okta: about 10 s).
        timeout: how long a receiver may take to answer.
        in_flight: most POSTs on their way to one hook at a time.
        odd: share of events with something unusual, but legal, in them.
        unhooked: share of events whose type no hook carries: the System Log alone has them.
        history: how many events the System Log remembers.
        calls_a_minute: API calls that the org answers; more get a 429.
        ca_file: CA certificates for receivers with a certificate of their own.
    """

    token: Secret
    url: str = "http://127.0.0.1:8085"
    rate: float = Field(0.0, ge=0)
    seed: int | None = None
    faults: Faults = Faults()
    batch: int = Field(10, ge=1)
    window: Duration = Field("50ms", validate_default=True)
    timeout: Duration = Field("3s", validate_default=True)
    in_flight: int = Field(8, ge=1)
    odd: _Share = 0.01
    unhooked: _Share = 0.0
    history: int = Field(100_000, ge=1)
    calls_a_minute: int = Field(1000, ge=1)
    ca_file: PathStr | None = None
