"""Sends a challenge to a hook's address, as Okta does, before Okta is configured to send events there.

If Okta got a secret that the receiver does not know, events would be lost: the receiver would answer 401, and Okta does
not send such an event again. Only the receiver knows which secrets are valid, so this module asks it.
"""

import asyncio
import secrets

import httpx
import msgspec

from forwarder.connection_errors import http_client
from forwarder.core.errors import SetupError
from forwarder.okta.hooks.hook import DesiredHook
from forwarder.response_bodies import read_start

_TIMEOUT = 3.0
"""Seconds to wait for the response, as long as Okta waits."""

_LARGEST = 64 * 1024
"""The most bytes of the response that are read. The forwarder's response has about 100."""


async def probe_receiver(desired: DesiredHook) -> str | None:
    """Send a challenge to the hook's address, with the secret that Okta will get.

    The challenge is sent from this machine. If this machine cannot reach the address, that is not an error, because
    Okta may reach the address.

    Returns:
        A warning if the check was inconclusive; None if the receiver sent the challenge back.

    Raises:
        SetupError: the receiver does not know the secret.
    """
    challenge = secrets.token_urlsafe(30)
    headers = [
        (b"accept", b"application/json"),
        (b"user-agent", b"okta-forwarder"),
        (b"x-okta-verification-challenge", challenge.encode()),
        (desired.header.encode(), desired.secret.reveal().encode()),
    ]
    try:
        async with (
            asyncio.timeout(_TIMEOUT),
            http_client(timeout=_TIMEOUT) as client,
            client.stream("GET", desired.uri, headers=headers) as response,
        ):
            content = await read_start(response, _LARGEST)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        reason = str(error) or type(error).__name__
        return f"{desired.uri} cannot be reached from here, so the secret was not checked: {reason}"
    if response.status_code == 401:
        raise SetupError(
            f"{desired.uri} answers 401 to the newest of `secrets`: the forwarder there does not have this secret yet, so events that"
            " Okta sends with it would be lost. Nothing was changed. The forwarder rereads a changed secret file within"
            " seconds; after a change of its configuration, send it SIGHUP. --force sets the secret in Okta anyway."
        )
    if response.status_code != 200 or _echo(content) != challenge:
        return (
            f"{desired.uri} does not echo the challenge: it answers {response.status_code}. Okta does not verify"
            " the hook until this address returns the challenge."
        )
    return None


def _echo(content: bytes) -> object:
    try:
        body = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return None
    return body.get("verification") if isinstance(body, dict) else None
