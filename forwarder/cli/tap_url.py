"""Reads the events of `forwarder tap --url` from the live stream of an ops listener (docs/status-page.md)."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec

from forwarder.cli.tap_store import Notice, TapOptions
from forwarder.core.errors import ForwarderError
from forwarder.core.wording import agrees, count

_WHERE = (
    "name the forwarder's ops listener, which is `ops.listen` in its configuration: --url http://HOST:9464"
)
_SILENCE = 40.0  # seconds without data that count as an error; the stream has a comment every 15 s


def from_url(url: str, token: str | None, wanted: TapOptions) -> Iterator[dict[str, Any] | Notice]:
    """Yield lines of events and notices, as `tap_store.from_store` does.

    Raises:
        ForwarderError: the ops listener cannot be reached, refuses the request, or stops sending.
    """
    chosen = wanted.filter
    query: list[tuple[str, str | int | float | bool | None]] = [
        ("status", "false"),
        *(("type", name) for name in chosen.types),
    ]
    named = {"actor": chosen.actor, "outcome": chosen.outcome, "org": chosen.org, "source": chosen.source}
    query += [(name, value) for name, value in named.items() if value]
    if wanted.form is not None:
        query.append(("view", wanted.form.value))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    ends_at = None if wanted.seconds is None else time.monotonic() + wanted.seconds
    silence = _SILENCE if wanted.seconds is None else min(_SILENCE, wanted.seconds)
    try:
        with (
            httpx.Client(timeout=httpx.Timeout(10, read=silence)) as client,
            client.stream("GET", f"{url.rstrip('/')}/api/events", params=query, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ForwarderError(_refusal(url, response))
            yield Notice("waiting for new events; Ctrl-C ends the command")
            yield from _events(response.iter_lines(), ends_at)
    except httpx.ReadTimeout as error:
        if ends_at is None or time.monotonic() < ends_at:
            raise ForwarderError(
                f"{url} has sent nothing for {silence:g} s; check that the forwarder still runs there"
            ) from error
        return
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ForwarderError(f"{url} cannot be read: {error}; {_WHERE}") from error
    if ends_at is None or time.monotonic() < ends_at:
        yield Notice("the forwarder stopped")


def _events(lines: Iterator[str], ends_at: float | None) -> Iterator[dict[str, Any] | Notice]:
    kind = ""
    for text in lines:
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        key, _, value = text.partition(":")
        if key == "event":
            kind = value.strip()
        elif key == "data" and kind == "event":
            yield msgspec.json.decode(value)
        elif key == "data" and kind == "skipped":
            skipped = msgspec.json.decode(value)["events"]
            yield Notice(
                f"{count(skipped, 'event')} {agrees(skipped, 'was', 'were')} skipped: this command or the connection is too slow"
            )


def _refusal(url: str, response: httpx.Response) -> str:
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"{url} refused the request ({response.status_code}): set FORWARDER_OPS_TOKEN to the forwarder's `ops.token`"
    response.read()
    if response.status_code == httpx.codes.NOT_FOUND:
        return f"{url} has no live stream (404); {_WHERE}"
    return f"{url} refused the request ({response.status_code}): {response.text[:200]}"
