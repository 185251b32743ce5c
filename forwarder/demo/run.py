"""Runs the demo: the whole pipeline in one process, with an emulated Okta org. Nothing leaves the machine."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
from pathlib import Path

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.config.hosts import Listen
from forwarder.core.errors import SettingsError
from forwarder.demo.final_check import verdict
from forwarder.demo.snapshot import ORG, SINK
from forwarder.demo.view import View
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.app import serve
from forwarder.emulator.settings import EmulatorSettings
from forwarder.okta.api.client import OktaClient
from forwarder.okta.hooks.admin import HookAdmin
from forwarder.okta.hooks.event_type_presets import resolve
from forwarder.okta.hooks.hook import DesiredHook, plan
from forwarder.settings import Settings, load
from forwarder.store.sqlite.lock import FileLock

_MARK = "# Made by `forwarder demo`; this folder is emptied by the next demo.\n"
_OKTA_PORT, _RECEIVER_PORT, _OPS_PORT = 8085, 8080, 9464
_SECRET, _TOKEN = "the-secret-of-the-demo", "the-token-of-the-demo"

_SETTLE_TIMEOUT = 120.0
"""The longest time to wait for the last event at the end, in seconds, in addition to 10 ms for each event."""


def prepare(folder: Path) -> Path:
    """Make an empty folder with a configuration for the demo, and return the path of the configuration.

    If `folder` exists, it must be empty or made by an earlier demo; its old files are deleted.

    Raises:
        SettingsError: `folder` contains files that were not made by a demo.
        StoreLockedError: a demo is running in `folder`.
        OSError: `folder` cannot be written.
    """
    config = folder / "forwarder.yaml"
    if folder.exists() and any(folder.iterdir()):
        if not config.exists() or not config.read_text(encoding="utf-8").startswith(_MARK):
            raise SettingsError([f"--dir {folder}: contains files that were not made by a demo; choose another folder"])
        FileLock(folder / "store.db").release()
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    absolute = folder.absolute()  # so that `forwarder stats -c` works from any directory
    okta, receiver, ops = (f"127.0.0.1:{_free_port(p)}" for p in (_OKTA_PORT, _RECEIVER_PORT, _OPS_PORT))
    org = {
        "url": f"http://{okta}",
        "secrets": [_SECRET],
        "api": {"token": _TOKEN},
        "hook": {"uri": f"http://{receiver}/okta/events", "check_interval": "1s"},
    }
    tree = {
        "orgs": {ORG: org},
        "receiver": {"listen": receiver},
        "store": {"path": str(absolute / "store.db")},
        "sinks": {SINK: {"kind": "file", "path": str(absolute / SINK / "events.ndjson"), "format": "ecs"}},
        # Short, so that missed events show up soon.
        "reconcile": {"poll": "2s", "grace": "3s", "rate_share": 1},
        "ops": {"listen": ops},
    }
    config.write_text(_MARK + json.dumps(tree, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
    return config


async def run(config: Path, events: int | None, *, rate: float, seed: int, leave: bool) -> int:
    """Run a demo until Ctrl-C, and return its exit code.

    The org emits `events` events immediately; this number includes the org's events about the hook. If `events` is
    None, the org emits `rate` events per second. If `leave` is true, the demo ends by itself when all events are stored
    and delivered, or after a timeout; the exit code is then 1 if an event is lost or duplicated, or if a missed event
    is not marked as missed. If `leave` is false, the exit code is 0.
    """
    clock, stop = SystemClock(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = load(config)
    url = settings.orgs[ORG].url or ""
    org = {
        "token": _TOKEN,
        "url": url,
        "seed": seed,
        "rate": 0 if events else rate,
        "log_only_share": 0.1,
        "faults": {"duplicate": 0.05, "drop": 0.02},
    }
    emulated = serve(EmulatorSettings.model_validate(org), Listen(url.removeprefix("http://")), clock)
    async with emulated as (emulator, _):
        forwarder = Forwarder(settings, clock)
        await forwarder.start()
        try:
            view = View(forwarder, emulator, config, stop)
            showing = asyncio.create_task(view.show())
            try:
                await _create_hook(settings, clock)
                if events:
                    await emulator.emit(max(events - len(emulator.ledger().own), 0))
                if leave and events:
                    await _settled(forwarder, emulator, stop, _SETTLE_TIMEOUT + events / 100)
                else:
                    await stop.wait()
            finally:
                await view.close(showing)
            await view.print_final_numbers()
            if leave:
                return await verdict(forwarder, emulator, view.console, config)
            view.print_commands()
            return 0
        finally:
            await forwarder.stop()


async def _create_hook(settings: Settings, clock: SystemClock) -> None:
    """Create and verify the hook through the org's API, as `forwarder hooks sync` does."""
    org = settings.orgs[ORG]
    assert org.url and org.api and org.hook  # noqa: PT018  # all from `prepare`
    types = resolve(org.hook.events)
    desired = DesiredHook(org.hook.name, org.hook.uri, types, org.header, org.secrets[0])
    async with OktaClient(org.url, org.api, settings.reconcile.rate_share, clock) as api:
        await HookAdmin(api).apply(plan(desired, None), desired, None)


async def _settled(forwarder: Forwarder, emulator: Emulator, stop: asyncio.Event, timeout: float) -> None:
    """Wait until all events are stored and delivered, and all events that the hook dropped are marked as missed.

    Also returns after `timeout` seconds, or when `stop` is set.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await emulator.drain()
            while not stop.is_set():
                status, ledger = await forwarder.status.gather(), emulator.ledger()
                stored = status["stored"] >= len(ledger.events) + len(ledger.own)
                missed = status["okta"][ORG]["log"]["missed"] >= len(ledger.dropped)
                if stored and missed and not any(sink["waiting"] for sink in status["sinks"].values()):
                    return
                await emulator.clock.sleep(0.05)


def _free_port(usual: int) -> int:
    """Return a free TCP port of the loopback address: `usual` if that port is free, else another."""
    for wanted in (usual, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    return usual
