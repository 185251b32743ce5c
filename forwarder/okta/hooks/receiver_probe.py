"""Sends a challenge to a hook's address, as Okta does, before Okta is configured to send events there.

If Okta got a secret that the receiver does not know, events would be lost: the receiver would answer 401, and Okta does
not send such an event again. Only the receiver knows which secrets are valid, so this module asks it.
"""

import asyncio
import secrets
import time
from pathlib import Path

import httpx
import msgspec

from forwarder.connection_errors import http_client
from forwarder.core.errors import SetupError
from forwarder.okta.hooks.hook import DesiredHook
from forwarder.response_bodies import read_start

_TIMEOUT = 3.0
"""Seconds to wait for the response, as long as Okta waits."""

_REREAD = 10.0
"""Seconds within which a running forwarder has certainly read a changed file of a secret again."""

_PAUSE = 0.5
"""Seconds between two challenges while the forwarder may not have read a changed file yet."""

_LARGEST = 64 * 1024
"""The most bytes of the response that are read. The forwarder's response has about 100."""


async def probe_receiver(desired: DesiredHook) -> str | None:
    """Send a challenge to the hook's address, with the secret that Okta will get.

    The challenge is sent from this machine. If this machine cannot reach the address, that is not an error, because
    Okta may reach the address. If the file of the secret has just changed, the challenge is repeated until the receiver
    has had the time to read the file again.

    Returns:
        A warning if the check was inconclusive; None if the receiver sent the challenge back.

    Raises:
        SetupError: the receiver does not know the secret.
    """
    try:
        status, is_echo = await _send(desired)
        while status == 401 and _has_just_changed(desired.secret.file):
            await asyncio.sleep(_PAUSE)
            status, is_echo = await _send(desired)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        reason = str(error) or type(error).__name__
        return f"{desired.uri} cannot be reached from here, so the secret was not checked: {reason}"
    if status == 401:
        raise SetupError(
            f"{desired.uri} answers 401 to the newest of `secrets`: the forwarder there does not have this secret yet, so events that"
            " Okta sends with it would be lost. Nothing was changed. The forwarder rereads a changed secret file within"
            " seconds; after a change of its configuration, send it SIGHUP. --force sets the secret in Okta anyway."
        )
    if not is_echo:
        return (
            f"{desired.uri} does not echo the challenge: it answers {status}. Okta does not verify"
            " the hook until this address returns the challenge."
        )
    return None


async def _send(desired: DesiredHook) -> tuple[int, bool]:
    """Send a challenge. Return (status of the response, whether it has the challenge)."""
    challenge = secrets.token_urlsafe(30)
    headers = [
        (b"accept", b"application/json"),
        (b"user-agent", b"okta-forwarder"),
        (b"x-okta-verification-challenge", challenge.encode()),
        (desired.header.encode(), desired.secret.reveal().encode()),
    ]
    async with (
        asyncio.timeout(_TIMEOUT),
        http_client(timeout=_TIMEOUT) as client,
        client.stream("GET", desired.uri, headers=headers) as response,
    ):
        content = await read_start(response, _LARGEST)
    return response.status_code, response.status_code == 200 and _echo(content) == challenge


def _has_just_changed(file: Path | None) -> bool:
    try:
        return file is not None and abs(time.time() - file.stat().st_mtime) < _REREAD
    except OSError:
        return False


def _echo(content: bytes) -> object:
    try:
        body = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return None
    return body.get("verification") if isinstance(body, dict) else None
