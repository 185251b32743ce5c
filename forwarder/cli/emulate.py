"""`forwarder emulate-okta`: an Okta org in a process."""

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from forwarder.values import Listen


@click.command("emulate-okta")
@click.option("--listen", default="127.0.0.1:8085", show_default=True, help="Where Okta's API is served.")
@click.option("--token", required=True, envvar="EMULATOR_TOKEN", help="The API token that callers must show.")
@click.option("--rate", default=0.0, show_default=True, help="Events a second that happen by themselves.")
@click.option("--drop", default=0.0, show_default=True, help="Share of events that hooks never deliver.")
@click.option("--duplicate", default=0.0, show_default=True, help="Share of events that hooks deliver twice.")
@click.option("--reorder", is_flag=True, help="Deliver some events late, so that they arrive out of order.")
@click.option("--delay", default="0s", show_default=True, help="How long an event waits before its delivery.")
@click.option("--seed", type=int, help="The same seed makes the same people, events and faults.")
@click.option("--hook", "uri", help="Make one hook at the start that posts to this URI, and verify it.")
@click.option("--hook-secret", envvar="EMULATOR_HOOK_SECRET", help="The secret that this hook sends.")
@click.option("--hook-header", default="Authorization", show_default=True, help="The header that carries it.")
def emulate_okta(
    listen: str, uri: str | None, hook_secret: str | None, hook_header: str, **flags: Any
) -> None:
    """Be an Okta org: event hooks with Okta's own API, verification, headers, 3 s timeout and one retry.

    Okta's paths are served under /api/v1, with `Authorization: SSWS <token>`: hooks are made, verified, stopped and
    deleted as in Okta. Beside them, without a token and so for loopback only:

    \b
      POST /emulator/events {"count": N, "types": […]}   let N events happen
      PUT  /emulator/faults {"drop": 0.3, …}             change the faults
      GET  /emulator/ledger                              what happened, and what became of it

    Try it with two terminals: `forwarder run`, and

    \b
      forwarder emulate-okta --token t --rate 5 --hook http://127.0.0.1:8080/okta/events --hook-secret "$ACME_HOOK_SECRET"
    """  # noqa: D301  # click looks for a real backspace, which a raw docstring would not have
    if uri and not hook_secret:
        raise click.UsageError("--hook needs --hook-secret: Okta's hooks carry a secret")
    from forwarder import logs
    from forwarder.values import Listen

    try:
        address = Listen.read(listen)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from None
    logs.setup("info")
    hook = (uri, hook_secret or "", hook_header) if uri else None
    asyncio.run(_serve(address, flags, hook))


async def _serve(listen: "Listen", flags: dict[str, Any], hook: tuple[str, str, str] | None) -> None:
    from forwarder.clock import SystemClock
    from forwarder.emulator.api import app
    from forwarder.emulator.org import Emulator
    from forwarder.metrics import Metrics
    from forwarder.receive.guard import Guard
    from forwarder.receive.server import Server
    from forwarder.receive.settings import ListenerLimits

    clock, metrics, stop = SystemClock(), Metrics(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    guard = Guard(ListenerLimits(), clock, lambda reason: metrics.connections_shed.labels(reason).inc())
    async with Emulator(_settings(listen, flags), clock) as emulator:
        server = Server(app(emulator), listen, guard)
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
    try:
        return EmulatorSettings.model_validate({**flags, "url": f"http://{listen}", "faults": faults})
    except ValidationError as error:
        fault = error.errors()[0]
        raise click.UsageError(
            f"--{fault['loc'][-1]}: {fault['msg'].removeprefix('Value error, ')}"
        ) from None


async def _verify(emulator: Any, uri: str, secret: str, header: str) -> None:
    """Verify the hook, again and again: the receiver may start later than the org."""
    from forwarder.emulator.replies import OktaApiError

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
