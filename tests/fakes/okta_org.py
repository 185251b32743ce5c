"""The project's own emulated org, served in the test's process over a real socket."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from forwarder.clock import SystemClock
from forwarder.core.ports import Clock
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.http.app import create_app
from forwarder.emulator.settings import EmulatorSettings

TOKEN = "00planted0token"  # of an org that lives as long as a test


@asynccontextmanager
async def okta_org(clock: Clock | None = None, **changes: Any) -> AsyncIterator[Emulator]:
    """An org that answers at its `settings.url` and takes TOKEN.

    Args:
        clock: its time; None for the real one.
        changes: to its settings.
    """
    # asyncio sends small answers at once only on a socket that says it is TCP; else each waits 40 ms for an ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = EmulatorSettings(**{"token": TOKEN, "url": url, "seed": 3, "window": "0ms"} | changes)
        async with Emulator(settings, clock or SystemClock()) as org, _served(org, listener):
            yield org


@asynccontextmanager
async def _served(org: Emulator, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        create_app(org),
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        timeout_graceful_shutdown=1,  # a call that hangs on purpose
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not `serve`, which takes the signals and looks only every 100 ms whether it shall end.
    await server.startup(sockets=[listener])
    try:
        yield
    finally:
        await server.shutdown(sockets=[listener])
