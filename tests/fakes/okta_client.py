"""The forwarder's own client before a fake org, with a clock that passes whenever the client waits for it."""

import asyncio
from collections.abc import Awaitable
from functools import cache
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from forwarder.config.types import Secret
from forwarder.core.backoff import Backoff
from forwarder.okta.api.client import OktaClient, RetryPolicy
from forwarder.okta.settings import ApiSettings
from tests.fakes.clock import ManualClock
from tests.fakes.okta_server import CLIENT_ID, TOKEN, OktaServer

LOGS = "/api/v1/logs"
HOOKS = "/api/v1/eventHooks"
PATIENCE = RetryPolicy(attempts=3, timeout=5.0, backoff=Backoff(base=1.0, cap=8.0))

_T = TypeVar("_T")


def token_client(
    server: OktaServer, patience: RetryPolicy = PATIENCE, *, share: float = 1.0, token: Secret | None = None
) -> OktaClient:
    """A client with an API token, and no jitter."""
    settings = ApiSettings(token=token or Secret(TOKEN))
    return OktaClient(server.url, settings, share, server.clock, retry=patience, random=lambda: 0.5)


def app_client(server: OktaServer, key: str, *, dpop: bool = True) -> OktaClient:
    """A client that is a service app."""
    settings = ApiSettings(client_id=CLIENT_ID, private_key=Secret(key), dpop=dpop)
    return OktaClient(server.url, settings, 1.0, server.clock, retry=PATIENCE, random=lambda: 0.5)


@cache
def key_pair(number: int = 1) -> tuple[str, str]:
    """PEM of a private and of its public key; the same ones for the same number as long as the process lives."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def clock_of(server: OktaServer) -> ManualClock:
    """The clock by which the server's and the client's time goes."""
    assert isinstance(server.clock, ManualClock)
    return server.clock


async def passing(clock: ManualClock, work: Awaitable[_T]) -> _T:
    """What `work` gives; whenever it sleeps on the clock, that time passes."""
    task = asyncio.ensure_future(work)
    while not task.done():
        asleep = asyncio.ensure_future(clock.asleep())
        await asyncio.wait((task, asleep), return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        if not task.done() and clock.waits:
            await clock.advance(clock.waits[0])
    return await task
