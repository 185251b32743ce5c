"""The checks of `doctor --send`, which post requests to the public address of the hook.

They check that a wrong secret is refused, and that a test event reaches every sink.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx
import msgspec

from forwarder.config.types import Secret
from forwarder.core import doctor_event
from forwarder.core.errors import SinkError
from forwarder.doctor.check import Check, CheckKind, Finding, Found, fail, ok, skip
from forwarder.doctor.context import Context, Sent
from forwarder.doctor.hook import OKTA_WAITS, fix_for_status
from forwarder.doctor.network import ProbeResponse, explain, request
from forwarder.doctor.running_forwarder import local_address
from forwarder.settings import Settings
from forwarder.setup.elasticsearch.document_search import find_documents
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.store.event_search import Search, SinkLife
from forwarder.store.interface import open_commands
from forwarder.threads import in_daemon_thread

_HEADING = "Test event"
_POLL = 0.1  # seconds between two look-ups
_TAIL = 1 << 20
"""The test event is searched in this number of bytes at the end of a file."""


def _with_secret(settings: Settings) -> Iterable[str]:
    return [name for name, org in settings.orgs.items() if org.secrets]


def _sinks(settings: Settings) -> Iterable[str]:
    return settings.sinks


def _address(context: Context, name: str) -> tuple[str, str]:
    """Return the URL to which events of the org `name` are posted, and the configuration key of that URL.

    The URL is the public URL of the hook. If the org has no section `hook`, it is the URL by which this machine reaches
    the receiver.
    """
    org, receiver = context.org(name), context.settings.receiver
    if org.hook:
        return org.hook.uri, f"`orgs.{name}.hook.uri`"
    scheme = "https" if receiver.tls else "http"
    return f"{scheme}://{local_address(receiver.listen)}{org.path}", "`receiver.listen`"


async def _post(context: Context, name: str, secret: str, body: object) -> ProbeResponse | Finding:
    url, key = _address(context, name)
    headers = {"content-type": "application/json", context.org(name).header: secret}
    try:
        return await request(
            "POST",
            url,
            headers=headers,
            body=msgspec.json.encode(body),
            timeout=context.timeout,
            verify=context.org(name).hook is not None,
        )
    except (httpx.HTTPError, OSError) as error:
        return explain(url, error, key)


async def _refuses(context: Context, name: str) -> Found:
    """Check that the receiver answers 401 to a POST with a random secret. The POST contains no events."""
    answer = await _post(context, name, Secret(secrets.token_urlsafe(30)).reveal(), {"data": {"events": []}})
    if isinstance(answer, Finding):
        return answer
    url = _address(context, name)[0]
    if answer.status == 401:
        return ok(f"{url} refuses a request with a wrong secret")
    if answer.status == 200:
        return fail(
            f"{url} accepts a request with a wrong secret: anyone can send events",
            "check that no proxy adds or replaces the header with the secret; then change the secret, and run "
            "`forwarder hooks sync --resend-secret`",
        )
    return fail(
        f"{url} answers {answer.status} to a wrong secret, not 401",
        fix_for_status(name, context.org(name).header, answer.status),
    )


async def _send(context: Context, name: str) -> Found:
    org = context.org(name)
    uuid = doctor_event.doctor_uuid(secrets.token_hex(12))
    body = doctor_event.envelope(uuid, _address(context, name)[0], context.clock.now())
    began = context.clock.monotonic()
    answer = await _post(context, name, org.secrets[-1].reveal().strip(" \t"), body)
    seconds = context.clock.monotonic() - began
    if isinstance(answer, Finding):
        return answer
    url = _address(context, name)[0]
    if answer.status != 200:
        return fail(
            f"{url} answers {answer.status} to the test event",
            fix_for_status(name, context.org(name).header, answer.status),
        )
    context.sent[name] = Sent(uuid, began)
    seen = f"{url} accepted the event {uuid} in {seconds:.2f} s"
    if seconds >= OKTA_WAITS:
        return fail(seen, "find what is slow between the internet and the forwarder: Okta gives up after 3 s")
    return ok(seen)


async def _received(context: Context, sink: str) -> Found:
    """Check that each posted test event reaches the store, and then `sink`."""
    until = context.clock.monotonic() + context.timeout * 0.9
    return [await _follow(context, org, sent, sink, until) for org, sent in context.sent.items()]


async def _follow(context: Context, org: str, sent: Sent, sink: str, until: float) -> Finding:
    life: SinkLife | None = None
    is_stored = False
    while True:
        lives = await in_daemon_thread(lambda: _sink_lives(context, sent.uuid), "find")
        is_stored = is_stored or lives is not None
        life = (lives or {}).get(sink)
        if life is not None and life.place != "waiting":
            break
        if context.clock.monotonic() >= until:
            return _late(context, org, sent, sink, is_stored=is_stored)
        await asyncio.sleep(_POLL)
    if life.place == "dead":
        fix = f"correct the cause, then run `forwarder dead-letters replay --all --sink {sink}`"
        return fail(f"the event {sent.uuid} is a dead letter: {life.detail}", fix)
    if life.place in {"filtered", "skipped"}:
        return skip(
            f"the sink's settings exclude {doctor_event.EVENT_TYPE}, so the sink does not get the test event ({life.place})"
        )
    seconds = context.clock.monotonic() - sent.at
    found = await _search(context, sink, sent.uuid, until)
    total = context.clock.monotonic() - sent.at
    if found is None:
        return ok(f"delivered within {seconds:.1f} s; this kind of sink cannot be searched")
    return ok(f"delivered within {seconds:.1f} s; {found} after {total:.1f} s")


def _late(context: Context, org: str, sent: Sent, sink: str, *, is_stored: bool) -> Finding:
    waited = f"after {context.clock.monotonic() - sent.at:.1f} s"
    if is_stored:
        fix = f"see what `forwarder doctor` and `forwarder stats` say about {sink}, or wait longer with --timeout 60s"
        return fail(f"the event {sent.uuid} is still not delivered to the sink {waited}", fix)
    url, key = _address(context, org)
    fix = f"let {key} lead to the forwarder that uses this store; {url} seems to lead to another forwarder"
    return fail(f"the event {sent.uuid} was accepted, but it is not in this store {waited}", fix)


def _sink_lives(context: Context, uuid: str) -> Mapping[str, SinkLife] | None:
    """Return the state of the event `uuid` for each sink, by name of the sink; None if the event is not stored."""
    found = open_commands(context.settings.store, context.clock).find(Search(uuid=uuid))
    return {life.sink: life for life in found.lives[0].sinks} if found.lives else None


async def _search(context: Context, name: str, uuid: str, until: float) -> str | None:
    """Search the sink `name` for the event `uuid`. Return a phrase that says whether the event was found, or why the
    search failed.

    Return None if this kind of sink cannot be searched. A search in Elasticsearch is repeated until the event is found,
    until a search fails, or until `until`, a time of the monotonic clock in seconds.
    """
    sink = context.settings.sinks[name]
    if isinstance(sink, FileSinkSettings):
        is_there = await in_daemon_thread(lambda: uuid.encode() in _tail(sink.path), "file")
        return (
            "the event is in the file"
            if is_there
            else "the event is not at the end of the file, perhaps because the file was rotated"
        )
    if not isinstance(sink, ElasticsearchSinkSettings):
        return None
    while True:
        try:
            if await find_documents(sink, sink.data_stream, [uuid], context.timeout):
                return "found by a search"
        except SinkError as error:
            return f"the search for the event failed: {error}"
        if context.clock.monotonic() >= until:
            return "a search does not find the event yet, because the index was not refreshed"
        await asyncio.sleep(_POLL)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        return file.read()


CHECKS = (
    Check(
        "hook.refusal",
        "the receiver refuses a wrong secret",
        _HEADING,
        _refuses,
        _with_secret,
        ("forwarder.running", "hook.challenge"),
        CheckKind.SEND,
    ),
    Check(
        "hook.event",
        "the receiver accepts a marked event in time",
        _HEADING,
        _send,
        _with_secret,
        ("hook.refusal",),
        CheckKind.SEND,
    ),
    Check(
        "sink.event", "the marked event reaches the sink", _HEADING, _received, _sinks, ("hook.event",), CheckKind.SEND
    ),
)
