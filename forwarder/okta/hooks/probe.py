"""Sends a challenge to a hook's address as Okta does, before Okta is configured to send there.

A secret that the receiver does not know loses events: Okta accepts it, sends with it, gets 401, and never sends a refused
event again. Only the receiver knows which secrets are valid.
"""

import secrets

import httpx

from forwarder.core.errors import SetupError
from forwarder.okta.hooks.desired import DesiredHook

_TIMEOUT = 3.0
"""Seconds, as Okta's."""


async def probe_receiver(desired: DesiredHook) -> str | None:
    """Send a challenge to the hook's address, with the secret that Okta will be given.

    It is sent from this machine, so an address that only Okta can reach is not an error.

    Returns:
        A warning if the check was inconclusive; None if the receiver echoed the challenge.

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
        async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
            response = await client.get(desired.uri, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        reason = str(error) or type(error).__name__
        return f"{desired.uri} cannot be reached from here, so its secret is not checked: {reason}"
    if response.status_code == 401:
        raise SetupError(
            f"{desired.uri} answers 401 to the newest of `secrets`: the forwarder there does not know it yet, and Okta "
            "would lose events with it. Nothing was changed. The forwarder rereads a changed secret file within seconds; "
            "after a change of its configuration, send it SIGHUP. --force sends the secret anyway."
        )
    if response.status_code != 200 or _echo(response) != challenge:
        return f"{desired.uri} does not echo the challenge: it answers {response.status_code}. Okta will require the echo."
    return None


def _echo(response: httpx.Response) -> object:
    try:
        body = response.json()
    except ValueError:
        return None
    return body.get("verification") if isinstance(body, dict) else None
