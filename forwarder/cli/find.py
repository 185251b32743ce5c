"""`forwarder find`: shows what happened to an event, for example why the event is not in the SIEM."""

import asyncio
import re
import uuid as uuids
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from forwarder.cli.options import ORG, check_org, config_option, load_settings, store_commands
from forwarder.cli.terminal import echo, echo_json
from forwarder.cli.time_option import DurationParam, MomentParam
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError, SettingsError, SinkError
from forwarder.core.event_types import unknown_event_type
from forwarder.core.time import SECOND, Micros, iso
from forwarder.core.wording import days

if TYPE_CHECKING:
    from forwarder.cli.find_output import Documents
    from forwarder.settings import Settings
    from forwarder.store.event_search import Search, SearchResult

_TIMEOUT = 5.0
"""The number of seconds to wait for a response of Elasticsearch, or of the running forwarder."""

_WITHIN = "5m"
_UUID_EPOCH: Micros = 12_219_292_800 * SECOND
"""The time between the epoch of uuids of version 1 (1582-10-15) and the Unix epoch (1970-01-01)."""


@click.command()
@config_option
@click.argument("uuid", required=False)
@click.option("--user", metavar="X", help="Events of this actor: a login or an Okta id, in any case.")
@click.option("--type", "event_type", metavar="T", help="Events of this type, such as user.session.*.")
@click.option(
    "--around",
    type=MomentParam(),
    help="Events that happened around this time: 10:03, 2026-01-31T10:03Z, or an age such as 2h. A time without an "
    "offset is in UTC.",
)
@click.option("--within", type=DurationParam(), help=f"How long before and after --around.  [default: {_WITHIN}]")
@click.option("--org", type=ORG, help="Only events of this org.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="The maximum number of events to show."
)
@click.option("--offline", is_flag=True, help="Do not search Elasticsearch for the events' documents.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def find(  # noqa: PLR0913, PLR0917  # one for each option
    config: Path,
    uuid: str | None,
    user: str | None,
    event_type: str | None,
    around: Micros | None,
    within: float | None,
    org: str | None,
    limit: int,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    """Show what happened to the event UUID, or to the events that match all options, newest first.

    For each event, the output says when the event happened, and whether Okta meant it for our hook. It says when and
    from which source the forwarder got the event, how many copies came, and which alerts and actions the event caused.
    For each sink, the output has the state of the event, with its time and its reason: delivered, waiting, dead
    letter, discarded, skipped or filtered. Works with and without a running forwarder.

    Exit codes: 0 found; 1 not found, or the store cannot be read; 2 wrong usage or configuration.
    """
    from forwarder.cli.find_output import show, show_malformed
    from forwarder.store.event_search import Search

    _check_usage(uuid, user, event_type, around, within)
    settings, secrets_missing = _settings(config)
    span = 5 * 60 * SECOND if within is None else round(within * SECOND)
    since, until = (None, None) if around is None else (around - span, around + span)
    search = Search(_spelled(uuid), user, event_type, since, until, org, limit)
    store = store_commands(settings)
    check_org(settings, org, store)
    found = store.find(search)
    answer = _answer(settings, found, search, offline=offline, secrets_missing=secrets_missing)
    if as_json:
        echo_json(answer)
    else:
        show(answer, retention=days(settings.store.retention))
        show_malformed(answer)
        for line in answer.get("not_found", ()):
            echo(line)
    raise SystemExit(0 if answer["events"] or answer["malformed"] else 1)


def _check_usage(
    uuid: str | None, user: str | None, event_type: str | None, around: Micros | None, within: float | None
) -> None:
    for text in (uuid, user, event_type):
        if text is not None and not text.strip():
            raise click.UsageError("a UUID, --user or --type is blank; write a value, or leave it out")
    if uuid is not None and (user, event_type, around) != (None, None, None):
        raise click.UsageError("a UUID names one event; leave out --user, --type and --around")
    if uuid is not None and "@" in uuid:
        raise click.UsageError(f"{uuid} is a login, not a UUID; write --user {uuid}")
    if uuid is None and user is None and event_type is None and around is None:
        raise click.UsageError("no event was named; give a UUID, --user X, --type T or --around 10:03")
    if within is not None and around is None:
        raise click.UsageError("--within needs --around")
    if event_type is not None and (problem := unknown_event_type(event_type)):
        echo(problem, fg="yellow", err=True)  # only a warning: Okta may have added the type after our release


def _spelled(uuid: str | None) -> str | None:
    """Return `uuid` in lower case, as Okta writes UUIDs. Another id is returned unchanged."""
    if uuid is not None and re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", uuid.strip()):
        return uuid.strip().lower()
    return uuid


def _settings(config: Path) -> tuple["Settings", str]:
    """Return the settings, and the reason why the secrets of sinks could not be read; empty if they could be read."""
    try:
        return load_settings(config, secrets="sinks"), ""
    except SettingsError as error:
        return load_settings(config, secrets=False), error.problems[0]


def _answer(
    settings: "Settings", found: "SearchResult", search: "Search", *, offline: bool, secrets_missing: str
) -> dict[str, Any]:
    from forwarder.cli.find_output import found_as_json, life_as_json

    live = _live(settings.store.path)
    events = [(life.org, life.uuid, life.source) for life in found.lives]
    if not events and search.uuid is not None:
        events = [(org, search.uuid, "") for org in settings.orgs if search.org in {None, org}]
    documents = {} if offline or not events else _documents(settings, events, secrets_missing)
    hook_ids = {org: _hook_id(org, found, live) for org in settings.orgs}
    lives = [
        life_as_json(life, hook_id=hook_ids.get(life.org, ""), live=live, documents=documents) for life in found.lives
    ]
    answer = found_as_json(found, lives)
    if not lives and not found.malformed:
        answer["not_found"] = list(_not_found(settings, found, search))
        answer["not_found"] += _documents_elsewhere(documents)
    return answer


def _live(store: Path) -> Mapping[str, Any] | None:
    """Return the status of the running forwarder; None if no forwarder runs, or if the forwarder does not answer."""
    from forwarder.control_socket.client import ask
    from forwarder.status import StatusRequest

    try:
        return ask(store, StatusRequest(), timeout=_TIMEOUT)
    except ForwarderError as error:
        echo(f"The running forwarder did not say why events wait: {error}", fg="yellow", err=True)
        return None


def _hook_id(org: str, found: "SearchResult", live: Mapping[str, Any] | None) -> str:
    """Return the id of our hook in `org`, from the running forwarder or else from the store; empty if no id is
    known."""
    hook = (((live or {}).get("okta") or {}).get(org) or {}).get("hook") or {}
    return hook.get("id") or str(_cursor(org, found).get("hook") or "")


def _cursor(org: str, found: "SearchResult") -> Mapping[str, Any]:
    try:
        cursor = msgspec.json.decode(found.cursors.get(org, "{}"))
    except msgspec.MsgspecError:
        return {}
    return cursor if isinstance(cursor, dict) else {}


# Elasticsearch


def _documents(settings: "Settings", events: Sequence[tuple[str, str, str]], secrets_missing: str) -> "Documents":
    """Search the cluster of each Elasticsearch sink for the documents of `events`.

    Each event is given as org, uuid and source. The result has, for each sink, the indices of the found documents, or
    the reason why the sink could not be searched.

    `secrets_missing` says why the secrets of sinks could not be read; it is empty if they could.
    """
    from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

    sinks = {name: sink for name, sink in settings.sinks.items() if isinstance(sink, ElasticsearchSinkSettings)}
    if secrets_missing:
        why = f"the credentials of this sink could not be read ({secrets_missing})"
        return dict.fromkeys(sinks, why)

    async def look() -> list[dict[str, str] | str]:
        return await asyncio.gather(*(_look(sink, events) for sink in sinks.values()))

    return dict(zip(sinks, asyncio.run(look()), strict=True))


async def _look(sink: Any, events: Sequence[tuple[str, str, str]]) -> dict[str, str] | str:
    from forwarder.cli.find_output import document_key
    from forwarder.setup.elasticsearch.document_search import find_documents
    from forwarder.sinks.elasticsearch.bulk import document_id

    streams = {"alert": sink.alert_stream, "action": sink.action_stream}
    ids: dict[str, dict[str, str]] = {}
    for org, uuid, source in events:
        id_ = uuid if source in streams else document_id(uuid, org if sink.org_in_id else "")
        ids.setdefault(streams.get(source, sink.data_stream), {})[document_key(org, uuid)] = id_
    indices: dict[str, str] = {}
    try:
        # Longer than the timeout of the client, because the client's error says more than a TimeoutError.
        async with asyncio.timeout(_TIMEOUT + 1):
            for stream, those in ids.items():
                indices |= await find_documents(sink, stream, those.values(), _TIMEOUT)
    except TimeoutError:
        return f"no response within {_TIMEOUT + 1:g} s"
    except (SinkError, OSError) as error:
        return str(error)
    return {key: indices[id_] for those in ids.values() for key, id_ in those.items() if id_ in indices}


def _documents_elsewhere(documents: "Documents") -> Iterator[str]:
    for sink, indices in documents.items():
        if isinstance(indices, str):
            yield f"{sink} was not searched: {indices}"
        elif indices:
            there = ", ".join(sorted(set(indices.values())))
            yield (
                f"The event's document is in {sink} ({there}): another forwarder wrote it, or this forwarder wrote it "
                "before its store was replaced."
            )
        else:
            yield f"The event's document is not in {sink} either."


# Events that are not stored


def _not_found(settings: "Settings", found: "SearchResult", search: "Search") -> Iterator[str]:
    window = days(settings.store.dedup_window)
    if search.uuid is not None:
        yield f"{search.uuid} was never stored here, or it was stored more than {window} ago (store.dedup_window)."
    else:
        held = f" The oldest event was received {iso(found.oldest, 'seconds')}." if found.oldest else ""
        yield f"No event in the store matches.{held}"
    happened = _uuid_time(search.uuid) if search.uuid else None
    if happened is not None:
        yield f"According to its uuid, the event was made at {iso(happened, 'seconds')}."
    since = search.since if search.since is not None else happened and happened - 5 * 60 * SECOND
    until = search.until if search.until is not None else happened and happened + 5 * 60 * SECOND
    for name, org in settings.orgs.items():
        if search.org not in {None, name}:
            continue
        if org.api is None:
            yield f"{name}: its System Log is not read, so events that the hook did not deliver are unknown; set orgs.{name}.api"
            continue
        cursor = _cursor(name, found)
        read_to = max(cursor.get("polled") or 0, cursor.get("newest") or 0)
        if not read_to:
            yield f"{name}: its System Log was not read yet; start the forwarder, then run: forwarder gaps --org {name}"
            continue
        yield (
            f"{name}: its System Log was read up to {iso(read_to, 'seconds')}. If an earlier event is not stored, it did not "
            "happen in this org, or it happened before the forwarder began to read the log."
        )
        window_options = f" --since {iso(since, 'seconds')} --until {iso(until, 'seconds')}" if since and until else ""
        yield f"  To fetch events: forwarder backfill --org {name}{window_options or ' --since 24h'}"
        yield f"  To list the events that the hook missed: forwarder gaps --org {name}"


def _uuid_time(uuid: str) -> Micros | None:
    """Return the time that a UUID of version 1 contains. Okta's uuids are of this version.

    Return None for an id of another form, and for a time that cannot be right.
    """
    try:
        read = uuids.UUID(uuid)
    except ValueError:
        return None
    at = read.time // 10 - _UUID_EPOCH
    return at if read.version == 1 and 1_000_000_000 * SECOND < at < SystemClock().now() + 86400 * SECOND else None
