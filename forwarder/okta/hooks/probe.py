"""Asks a hook's address as Okta asks it, before Okta is told to send there.

A secret that the receiver does not know costs events: Okta takes it, sends with it, is answered 401, and never sends a
refused event again. Nobody but the receiver can tell which secrets it knows.
"""

import secrets

import httpx

from forwarder.core.errors import SetupError
from forwarder.okta.hooks.hook import Wanted

_PATIENCE = 3.0
"""Seconds, as Okta's."""


async def challenge(wanted: Wanted) -> str | None:
    """Send the challenge to the hook's address, with the secret that Okta shall have.

    It goes out from this machine, so that an address which only Okta reaches is no fault.

    Args:
        wanted: the hook to have.

    Returns:
        What an operator should know: why nothing can be said. None if the receiver echoed the challenge.

    Raises:
        SetupError: the receiver does not know the secret.
    """
    text = secrets.token_urlsafe(30)
    headers = [
        (b"accept", b"application/json"),
        (b"user-agent", b"okta-forwarder"),
        (b"x-okta-verification-challenge", text.encode()),
        (wanted.header.encode(), wanted.secret.reveal().encode()),
    ]
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE) as client:
            answer = await client.get(wanted.uri, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"{wanted.uri} cannot be reached from here, so its secret is not checked: {_words(error)}"
    if answer.status_code == 401:
        raise SetupError(
            f"{wanted.uri} answers 401 to the newest of `secrets`: the forwarder there does not know it yet, and Okta "
            "would lose events with it. Nothing is changed. Where the secret's file has changed, the forwarder takes "
            "it within seconds; where the configuration has, send it SIGHUP. With --force it is sent all the same."
        )
    if answer.status_code != 200 or _echo(answer) != text:
        return f"{wanted.uri} does not echo the challenge: it answers {answer.status_code}. Okta will want the echo."
    return None


def _echo(answer: httpx.Response) -> object:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body.get("verification") if isinstance(body, dict) else None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
