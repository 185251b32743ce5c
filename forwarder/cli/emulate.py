"""`forwarder emulate-okta`: runs an emulated Okta org."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.terminal import echo

if TYPE_CHECKING:
    from forwarder.config.hosts import Listen
    from forwarder.config.types import Secret
    from forwarder.emulator.emulator import Emulator
    from forwarder.emulator.settings import EmulatorSettings


@click.command("emulate-okta")
@click.option("--listen", default="127.0.0.1:8085", show_default=True, help="The address of Okta's API.")
@click.option("--token", required=True, envvar="EMULATOR_TOKEN", help="The API token that callers must send.")
@click.option("--rate", default=0.0, show_default=True, help="The number of events per second that the org emits.")
@click.option("--drop", default=0.0, show_default=True, help="Share of events that hooks never deliver, from 0 to 1.")
@click.option(
    "--duplicate", default=0.0, show_default=True, help="Share of events that hooks deliver twice, from 0 to 1."
)
@click.option("--reorder", is_flag=True, help="Deliver some events late, so that they arrive out of order.")
@click.option("--delay", default="0s", show_default=True, help="Time from an event to its delivery.")
@click.option("--seed", type=int, help="The same seed gives the same events and faults.")
@click.option(
    "--quota",
    type=int,
    help="The maximum number of events that hooks deliver in 24 hours.  [default: 400000, as in Okta]",
)
@click.option("--client", "client_id", metavar="ID", help="The ID of a service app that may get access tokens.")
@click.option("--client-key", type=click.Path(), help="A file with the key of --client: PEM or JWK, public or private.")
@click.option("--client-scopes", help="The scopes of --client, separated by spaces.  [default: all that exist]")
@click.option("--no-dpop", is_flag=True, help="Do not require DPoP: the tokens of --client are not bound to a key.")
@click.option(
    "--no-admin",
    is_flag=True,
    help="Do not make --client a super administrator: it has only the rights of its custom roles.",
)
@click.option("--ciba-client", metavar="ID", help="The ID of a web app that may prompt users by CIBA.")
@click.option(
    "--ciba-key", type=click.Path(), help="A file with the key of --ciba-client: PEM or JWK, public or private."
)
@click.option("--logs-per-minute", type=int, help="Calls per minute that the System Log allows (Okta: at most 120).")
@click.option("--log-delay", default="0s", show_default=True, help="Time from an event to its entry in the System Log.")
@click.option("--log-spread", default="0s", show_default=True, help="Maximum random time that is added to --log-delay.")
@click.option(
    "--log-only-share",
    default=0.0,
    show_default=True,
    help="Share of events that only the System Log has, because hooks do not carry their type.",
)
@click.option(
    "--odd-types",
    is_flag=True,
    help="Emit some events with numbers in place of strings, and with unknown results. Typed SDKs refuse these events.",
)
@click.option("--hook", "uri", help="Create a hook at the start that posts to this URI, and verify it.")
@click.option("--hook-secret", envvar="EMULATOR_HOOK_SECRET", help="The secret that the hook of --hook sends.")
@click.option(
    "--hook-header",
    default="Authorization",
    show_default=True,
    help="The header in which the hook of --hook sends its secret.",
)
def emulate_okta(listen: str, uri: str | None, hook_secret: str | None, hook_header: str, **flags: Any) -> None:
    """Run an emulated Okta org with Okta's own API: event hooks, the System Log, and what reactions change.

    The hooks of the org behave as Okta's hooks do: verification, headers, a timeout of 3 s, one retry. Okta's paths are
    under /api/v1. Callers send `Authorization: SSWS <token>`, or an access token that a service app gets from
    /oauth2/v1/token, with DPoP. The following paths need no token, so listen only on a loopback address:

    \b
      POST /emulator/events {"count": N, "types": […]}   emit N events; also "user" and "fields"
      PUT  /emulator/faults {"drop": 0.3, …}             replace the faults
      POST /emulator/preview {"hook": ID}                deliver a sample, as the Admin Console's preview does
      POST /emulator/users {"login": …, "status": …}     add a user; PUT /emulator/users/LOGIN changes one
      POST /emulator/groups {"name": …, "members": […]}  add a group; PUT /emulator/groups/NAME changes one
      GET  /emulator/ledger                              all events, and how each was delivered
      POST /emulator/answers {"user": …, "answer": …}    approve, deny or none: how a user answers prompts
      GET  /emulator/state                               users, groups, network zones and prompts
      GET  /emulator/calls                               every call that would change something

    Four keys of the faults say which shares of API calls fail; docs/emulator.md describes every key:

    \b
      "log"      calls that read the System Log; also the delay and spread of events
      "changes"  calls that change something
      "polls"    polls for the answer to a prompt
      "reads"    all other reads

    "log" has the shares rate_limited, concurrency_limited, server_error, no_response and cursor_expired. "changes",
    "polls" and "reads" have the shares rate_limited, error_before, error_after and no_response.

    To try it, run `forwarder run` in one terminal, and in another:

    \b
      forwarder emulate-okta --token t --rate 5 \\
          --hook http://127.0.0.1:8080/okta/events --hook-secret "$ACME_HOOK_SECRET"
    """  # noqa: D301  # click looks for a real backspace, which a raw docstring would not have
    if uri and not hook_secret:
        raise click.UsageError("--hook needs --hook-secret")
    from forwarder import logs
    from forwarder.config.hosts import Listen

    try:
        address = Listen.read(listen)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from None
    settings = _settings(address, flags)
    logs.setup("info")
    hook = (uri, hook_secret or "", hook_header) if uri else None
    asyncio.run(_serve(address, settings, hook))


async def _serve(listen: "Listen", settings: "EmulatorSettings", hook: tuple[str, str, str] | None) -> None:
    from forwarder.clock import SystemClock
    from forwarder.emulator.http.app import serve

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(settings, listen, SystemClock()) as (emulator, address):
        hook_id = _add_hook(emulator, *hook) if hook else ""
        echo(f"The emulated Okta org listens on http://{address} (Ctrl-C stops it).", err=True)
        verifying = asyncio.create_task(_verify(emulator, hook_id, hook[0])) if hook else None
        await stop.wait()
        if verifying is not None:
            verifying.cancel()


def _settings(listen: str, flags: dict[str, Any]) -> "EmulatorSettings":
    from pydantic import ValidationError

    from forwarder.emulator.settings import EmulatorSettings

    faults = {name: flags.pop(name) for name in ("drop", "duplicate", "reorder", "delay")}
    faults["log"] = {name: flags.pop(f"log_{name}") for name in ("delay", "spread")}
    clients = _clients(flags)
    given = {name: value for name, value in flags.items() if value is not None}
    tree = {**given, "clients": clients, "url": f"http://{listen}", "faults": faults}
    try:
        return EmulatorSettings.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        name = "log-" + str(problem["loc"][-1]) if "log" in problem["loc"] else str(problem["loc"][-1])
        message = problem["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"--{name.replace('_', '-')}: {message}") from None


def _clients(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the OAuth apps, by client id, and remove the options about the apps from `flags`."""
    names = ("client_id", "client_key", "client_scopes", "no_dpop", "no_admin", "ciba_client", "ciba_key")
    client_id, key_file, scopes, no_dpop, no_admin, ciba_client, ciba_key = (flags.pop(name) for name in names)
    clients: dict[str, Any] = {}
    if client_id is None and (key_file or scopes or no_dpop or no_admin):
        raise click.UsageError("--client-key, --client-scopes, --no-dpop and --no-admin need --client")
    if client_id is not None:
        key = _key(key_file, "--client", "--client-key")
        clients[client_id] = {"keys": [key], "dpop": not no_dpop, "admin": not no_admin}
        if scopes is not None:
            clients[client_id]["scopes"] = scopes.split()
    if ciba_key and ciba_client is None:
        raise click.UsageError("--ciba-key needs --ciba-client")
    if ciba_client is not None:
        clients[ciba_client] = {"keys": [_key(ciba_key, "--ciba-client", "--ciba-key")], "ciba": True}
    return clients


def _key(path: str | None, app: str, flag: str) -> "Secret":
    """Return the key in the file `path`.

    `flag` is the name of the option that gave the path, and `app` the name of the option that needs the key.

    Raises:
        click.UsageError: `path` is None, or the file has no usable key.
    """
    from forwarder.config.types import Secret
    from forwarder.emulator.oauth.dpop import KeyFormatError, read_key

    if path is None:
        raise click.UsageError(f"{app} needs {flag}, the file with the key that signs the app's assertions")
    try:
        # Absolute, because `Secret` hides a relative path in its errors: the path could be a secret.
        key = Secret.read({"file": str(Path(path).absolute())})
        read_key(key.reveal())
    except (ValueError, KeyFormatError) as error:
        raise click.UsageError(f"{flag}: {error}") from None
    return key


def _add_hook(emulator: "Emulator", uri: str, secret: str, header: str) -> str:
    """Create the hook that the option `--hook` asks for, and return the id of this hook.

    Raises:
        click.UsageError: Okta would refuse this hook.
    """
    from forwarder.emulator.http.errors import OktaApiError

    try:
        return emulator.add_hook(uri, secret, header=header).id
    except OktaApiError as error:
        raise click.UsageError(f"--hook: {'; '.join(error.causes) or error.summary}") from None


async def _verify(emulator: "Emulator", hook_id: str, uri: str) -> None:
    """Verify a hook. Retry until the verification succeeds, because the receiver may start later than the org."""
    from forwarder.emulator.http.errors import OktaApiError

    while True:
        try:
            await emulator.verify(hook_id)
        except OktaApiError:
            echo(
                f"{uri} did not return the challenge: no receiver listens there yet, or it expects another secret, or it does not "
                "support the challenge; the next attempt is in 2 s",
                err=True,
            )
            await emulator.clock.sleep(2)
        else:
            echo(f"{uri} is verified; the hook {hook_id} now delivers events to this address", err=True)
            return
