"""`forwarder emulate-okta`: an Okta org in a process."""

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from forwarder.config_types import Listen


@click.command("emulate-okta")
@click.option("--listen", default="127.0.0.1:8085", show_default=True, help="Where Okta's API is served.")
@click.option("--token", required=True, envvar="EMULATOR_TOKEN", help="The API token that callers must show.")
@click.option("--rate", default=0.0, show_default=True, help="Events a second that happen by themselves.")
@click.option("--drop", default=0.0, show_default=True, help="Share of events that hooks never deliver.")
@click.option("--duplicate", default=0.0, show_default=True, help="Share of events that hooks deliver twice.")
@click.option("--reorder", is_flag=True, help="Deliver some events late, so that they arrive out of order.")
@click.option("--delay", default="0s", show_default=True, help="How long an event waits before its delivery.")
@click.option("--seed", type=int, help="The same seed makes the same people, events and faults.")
@click.option("--client", "client_id", metavar="ID", help="A service app that may get access tokens.")
@click.option("--client-key", type=click.Path(), help="Its key: a file with PEM or JWK, public or private.")
@click.option(
    "--client-scopes", help="Its scopes, with a space between; all that the emulator knows, if not given."
)
@click.option("--no-dpop", is_flag=True, help="Its tokens need no proof of a key.")
@click.option(
    "--logs-per-minute", type=int, help="Calls of the System Log that are answered (Okta: at most 120)."
)
@click.option(
    "--log-delay", default="0s", show_default=True, help="How long an event takes into the System Log."
)
@click.option("--log-spread", default="0s", show_default=True, help="Up to so much longer, by chance.")
@click.option(
    "--log-only-share", default=0.0, show_default=True, help="Share of events of types that no hook carries."
)
@click.option("--quota", type=int, help="Events that hooks may carry in 24 hours (Okta: 400000).")
@click.option("--hook", "uri", help="Make one hook at the start that posts to this URI, and verify it.")
@click.option("--hook-secret", envvar="EMULATOR_HOOK_SECRET", help="The secret that this hook sends.")
@click.option("--hook-header", default="Authorization", show_default=True, help="The header that carries it.")
def emulate_okta(
    listen: str, uri: str | None, hook_secret: str | None, hook_header: str, **flags: Any
) -> None:
    """Be an Okta org: event hooks with Okta's own API, verification, headers, 3 s timeout and one retry, its System Log
    and its access tokens.

    Okta's paths are served under /api/v1, with `Authorization: SSWS <token>`, or with a token of a service app from
    /oauth2/v1/token, DPoP and all: hooks are made, verified, stopped and deleted as in Okta, and the System Log is read.
    Beside them, without a token and so for loopback only:

    \b
      POST /emulator/events {"count": N, "types": […]}   let N events happen
      PUT  /emulator/faults {"drop": 0.3, …}             change the faults
      GET  /emulator/ledger                              what happened, and what became of it

    The faults of the System Log stand in "log": shares of calls that are limited, crowded (429), broken (500), silent or
    expired (a cursor that is refused), and the delay and spread of events on their way into it.

    Try it with two terminals: `forwarder run`, and

    \b
      forwarder emulate-okta --token t --rate 5 --hook http://127.0.0.1:8080/okta/events --hook-secret "$ACME_HOOK_SECRET"
    """  # noqa: D301  # click looks for a real backspace, which a raw docstring would not have
    if uri and not hook_secret:
        raise click.UsageError("--hook needs --hook-secret: Okta's hooks carry a secret")
    from forwarder import logs
    from forwarder.config_types import Listen

    try:
        address = Listen.read(listen)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from None
    settings = _settings(address, flags)
    logs.setup("info")
    hook = (uri, hook_secret or "", hook_header) if uri else None
    asyncio.run(_serve(address, settings, hook))


async def _serve(listen: "Listen", settings: Any, hook: tuple[str, str, str] | None) -> None:
    from forwarder.clock import SystemClock
    from forwarder.emulator.http.app import create_app
    from forwarder.emulator.org import Emulator
    from forwarder.http.connections import ConnectionLimiter
    from forwarder.http.server import Server
    from forwarder.http.settings import ListenerLimits
    from forwarder.metrics import Metrics

    clock, metrics, stop = SystemClock(), Metrics(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    guard = ConnectionLimiter(
        ListenerLimits(), clock, lambda reason: metrics.connections_evicted.labels(reason).inc()
    )
    async with Emulator(settings, clock) as emulator:
        server = Server(create_app(emulator), listen, guard)
        await server.start()
        click.echo(f"An Okta org listens on http://{server.address}; stop it with Ctrl-C.", err=True)
        verifying = asyncio.create_task(_verify(emulator, *hook)) if hook else None
        await stop.wait()
        if verifying is not None:
            verifying.cancel()
        await server.stop(1.0)


def _settings(listen: str, flags: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from forwarder.emulator.settings import EmulatorSettings

    faults = {name: flags.pop(name) for name in ("drop", "duplicate", "reorder", "delay")}
    faults["log"] = {name: flags.pop(f"log_{name}") for name in ("delay", "spread")}
    app = {name: flags.pop(name) for name in ("client_id", "client_key", "client_scopes", "no_dpop")}
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return EmulatorSettings.model_validate(
            {**given, **_clients(**app), "url": f"http://{listen}", "faults": faults}
        )
    except ValidationError as error:
        fault = error.errors()[0]
        name = "log-" + str(fault["loc"][-1]) if "log" in fault["loc"] else str(fault["loc"][-1])
        told = fault["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"--{name.replace('_', '-')}: {told}") from None


def _clients(
    *, client_id: str | None, client_key: str | None, client_scopes: str | None, no_dpop: bool
) -> dict[str, Any]:
    """The service app of the flags, for the settings."""
    if client_id is None:
        if client_key or client_scopes or no_dpop:
            raise click.UsageError("--client-key, --client-scopes and --no-dpop belong to a --client")
        return {}
    if client_key is None:
        raise click.UsageError("--client needs --client-key: the key that signs its assertions")
    from forwarder.config_types import Secret
    from forwarder.emulator.oauth.dpop import KeyFormatError, read_key

    try:
        key = Secret.read({"file": client_key})
        read_key(key.reveal())
    except (ValueError, KeyFormatError) as error:
        raise click.UsageError(f"--client-key: {error}") from None
    client: dict[str, Any] = {"keys": [key], "dpop": not no_dpop}
    if client_scopes is not None:
        client["scopes"] = client_scopes.split()
    return {"clients": {client_id: client}}


async def _verify(emulator: Any, uri: str, secret: str, header: str) -> None:
    """Verify the hook, again and again: the receiver may start later than the org."""
    from forwarder.emulator.http.errors import OktaApiError

    hook = emulator.add_hook(uri, secret, header=header)
    while True:
        try:
            await emulator.verify(hook.id)
        except OktaApiError:
            click.echo(f"{uri} does not answer the challenge yet; trying again in 2 s", err=True)
            await emulator.clock.sleep(2)
        else:
            click.echo(f"{uri} is verified: hook {hook.id} delivers", err=True)
            return
