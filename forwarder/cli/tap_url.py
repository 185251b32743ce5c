"""Reads the events of `forwarder tap --url` from the live stream of an ops listener (docs/status-page.md)."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec

from forwarder.cli.tap_store import FIELDS, Notice, TapOptions
from forwarder.connection_errors import refusal_hint
from forwarder.core.errors import ForwarderError
from forwarder.core.urls import split_url
from forwarder.core.wording import agrees, count
from forwarder.http_deadline import HttpDeadline
from forwarder.interim_responses import limit_interim_responses

_WHERE = "name the forwarder's ops listener, which is `ops.listen` in its configuration: --url http://HOST:9464"
_EXCERPT = 200
_SILENCE = 40.0  # seconds without a line that count as an error; the stream has a comment every 15 s
_START = 20.0  # seconds for the headers
_LONGEST_LINE = 16 << 20  # bytes


def from_url(url: str, token: str | None, wanted: TapOptions) -> Iterator[dict[str, Any] | Notice]:
    """Yield a line for each event, as decoded JSON, and notices for the operator.

    Raises:
        ForwarderError: the ops listener cannot be reached, refuses the request, or stops sending.
    """
    headers = {"accept-encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    ends_at = None if wanted.seconds is None else time.monotonic() + wanted.seconds
    silence = _SILENCE if wanted.seconds is None else min(_SILENCE, wanted.seconds)
    answers, starts_within = False, min(_START, silence)
    deadline = HttpDeadline(starts_within)
    try:
        with (
            limit_interim_responses(httpx.Client(timeout=httpx.Timeout(10, read=silence))) as client,
            deadline,
            client.stream(
                "GET",
                f"{url.rstrip('/')}/api/events",
                params=_query(wanted),
                headers=headers,
                extensions=deadline.extensions,
            ) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ForwarderError(_refusal(url, response))
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ForwarderError(
                    f"{url} answers, but not with the live stream of a forwarder: {_start(response)}; {_WHERE}"
                )
            deadline.stop()
            answers = True
            yield Notice("waiting for new events; Ctrl-C ends the command")
            yield from _events(_lines(response, silence), ends_at, wanted.form)
    except httpx.ReadTimeout as error:
        if not answers:
            raise ForwarderError(f"{url} has not answered within {starts_within:g} s; {_WHERE}") from error
        if ends_at is None or time.monotonic() < ends_at:
            raise ForwarderError(
                f"{url} has sent no line for {silence:g} s; check that the forwarder at this address still runs"
            ) from error
        return
    except ImportError as error:  # httpx has no SOCKS proxy without another package
        text = f"{url} cannot be read: the proxy that the environment names cannot be used"
        raise ForwarderError(f"{text}; check `http_proxy`, `https_proxy` and `all_proxy`") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        if deadline.is_over:
            raise ForwarderError(f"{url} has not answered within {starts_within:g} s; {_WHERE}") from error
        raise ForwarderError(f"{url} cannot be read: {error}; {_WHERE}") from error
    if ends_at is None or time.monotonic() < ends_at:
        yield Notice("the forwarder stopped")


def _query(wanted: TapOptions) -> list[tuple[str, str | int | float | bool | None]]:
    chosen = wanted.filter
    query: list[tuple[str, str | int | float | bool | None]] = [
        ("status", "false"),
        *(("type", name) for name in chosen.types),
    ]
    named = {"actor": chosen.actor, "outcome": chosen.outcome, "org": chosen.org, "source": chosen.source}
    query += [(name, value) for name, value in named.items() if value]
    if wanted.form is not None:
        query.append(("view", wanted.form.value))
    return query


def _lines(response: httpx.Response, silence: float) -> Iterator[str]:
    """Yield the lines of the body. Unlike httpx, this limits the length of a line, and the time until its end.

    Raises:
        httpx.ReadTimeout: no line has ended for `silence` seconds.
        ValueError: a line is too long.
    """
    received, gives_up_at = bytearray(), time.monotonic() + silence
    for piece in response.iter_raw():
        received += piece
        if b"\n" in piece:
            *lines, received = received.split(b"\n")
            for line in lines:
                yield line.decode(errors="replace").removesuffix("\r")
            gives_up_at = time.monotonic() + silence
        elif len(received) > _LONGEST_LINE:
            raise ValueError(f"a line has more than {_LONGEST_LINE:,} bytes")
        elif time.monotonic() > gives_up_at:
            raise httpx.ReadTimeout("no line has ended", request=response.request)


def _events(lines: Iterator[str], ends_at: float | None, form: str | None) -> Iterator[dict[str, Any] | Notice]:
    kind = ""
    for text in lines:
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        key, _, value = text.partition(":")
        if key == "event":
            kind = value.strip()
        elif key == "data" and kind == "event":
            yield _event(value, form)
        elif key == "data" and kind == "skipped":
            skipped = msgspec.json.decode(value, type=dict[str, int]).get("events", 0)
            yield Notice(
                f"{count(skipped, 'event')} {agrees(skipped, 'was', 'were')} skipped: this command or the connection is too slow"
            )


def _event(text: str, form: str | None) -> dict[str, Any]:
    line = msgspec.json.decode(text, type=dict[str, Any])
    if not line.keys() >= {*FIELDS, form or FIELDS[0]}:
        raise ValueError("the response has a line that is not an event of a forwarder")
    return line


def _refusal(url: str, response: httpx.Response) -> str:
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"{url} refused the request ({response.status_code}): set FORWARDER_OPS_TOKEN to the forwarder's `ops.token`"
    if response.is_redirect:
        host = split_url(response.headers.get("location", "")).netloc or "another address"
        return f"{url} redirects to {host}, and the command does not send the token to another address; {_WHERE}"
    if response.status_code == httpx.codes.NOT_FOUND:
        return f"{url} has no live stream (404); {_WHERE}"
    hint = refusal_hint(response.status_code, "the forwarder", "--url")
    return f"{url} refused the request ({response.status_code}): {_start(response)}; {hint}"


def _start(response: httpx.Response) -> str:
    """Return the start of the body, in one line. The rest is not read: it may have no end."""
    content = b""
    for piece in response.iter_raw():
        content += piece
        if len(content) >= _EXCERPT:
            break
    return " ".join(content[:_EXCERPT].decode(errors="replace").split()) or "(empty)"
