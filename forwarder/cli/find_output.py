"""Makes the output of `forwarder find`. The text output is made from the JSON output."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from forwarder.cli import terminal
from forwarder.cli.terminal import echo
from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.lenient_json import decode_leniently
from forwarder.core.printable import LONGEST_ANSWER, printable_line, shortened
from forwarder.core.time import Micros, iso
from forwarder.core.wording import agrees, count
from forwarder.okta.system_log.event_details import targets_any_hook, targets_hook
from forwarder.store.event_search import MAX_DETAILED, Life, SearchResult, SinkLife

Documents = Mapping[str, Mapping[str, str] | str]
"""The results of the searches, by name of the sink.

A result is the index of each document that was found, by `document_key`, or a text that says why the sink was not
searched.
"""

_SOURCES = {
    "hook": "the event hook",
    "log": "the System Log",
    "backfill": "a backfill of the System Log",
    "alert": "a rule of this forwarder",
    "action": "a reaction of this forwarder",
}
_COLOURS = {"delivered": "green", "dead": "red", "waiting": "yellow"}


class _Shown(msgspec.Struct):
    actor: Any = None
    message: Any = msgspec.field(name="displayMessage", default=None)


_decode = msgspec.json.Decoder(_Shown).decode


def document_key(org: str, uuid: str) -> str:
    """Return the key of the event `uuid` of `org` in `Documents`."""
    return f"{org}:{uuid}"


def life_as_json(life: Life, *, hook_id: str, live: Mapping[str, Any] | None, documents: Documents) -> dict[str, Any]:
    """Return everything that is known about one event, ready for JSON.

    `hook_id` is empty if the id of our hook is not known. `live` is the status of the running forwarder; None if no
    forwarder runs.
    """
    return {
        "org": life.org,
        "uuid": life.uuid,
        "event_type": life.event_type or None,
        "published": _time(life.published),
        **_shown(life.body),
        "hook_eligible": HOOK_ELIGIBLE in EVENT_TYPES.get(life.event_type, ()) if life.event_type else None,
        "named_for_our_hook": _named(life, hook_id),
        "received_at": _time(life.received_at),
        "source": life.source or None,
        "stored_at": _second(life.stored_at),
        "seq": life.seq,
        "body_held": life.body is not None,
        "copies": {"hook": life.hook_copies, "system_log": life.log_copies, "last_at": _second(life.copied_at)},
        "missed_by_hook_at": _time(life.missed_at),
        "pending_since": _time(life.pending_since) if life.missed_at is None else None,
        "alerts": [{"uuid": one.uuid, "rule": one.rule, "level": one.level} for one in life.alerts],
        "actions": [msgspec.structs.asdict(one) for one in life.actions],
        "sinks": {sink.sink: _sink(life, sink, live, documents.get(sink.sink)) for sink in life.sinks},
    }


def found_as_json(found: SearchResult, lives: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the whole JSON output. `lives` has the results of `life_as_json` for the events of `found`."""
    return {
        "found": len(lives),
        "more": found.more,
        "events": lives,
        "malformed": [
            {"dead_letter": one.dead_letter, "org": one.org, "at": _time(one.at), "detail": one.detail}
            for one in found.malformed
        ],
    }


def _shown(body: bytes | None) -> dict[str, Any]:
    """Return the message, the actor's id and the actor's login from the body of an event. A missing value is None."""
    try:
        read = decode_leniently(_decode, body)[0] if body else _Shown()
    except (msgspec.MsgspecError, RecursionError):
        read = _Shown()
    actor = read.actor if isinstance(read.actor, dict) else {}
    texts = {"message": read.message, "actor_id": actor.get("id"), "actor_login": actor.get("alternateId")}
    return {key: text if isinstance(text, str) else None for key, text in texts.items()}


def _named(life: Life, hook_id: str) -> bool | None:
    if life.source == "hook" or life.hook_copies or life.pending_since is not None:
        return True
    if life.body is None:
        return None
    if not targets_any_hook(life.body):
        return False
    return targets_hook(life.body, hook_id) if hook_id else None


def _sink(
    life: Life, sink: SinkLife, live: Mapping[str, Any] | None, found: Mapping[str, str] | str | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "place": sink.place,
        "at": _time(sink.at),
        "why": _why_waiting(sink, live) if sink.place == "waiting" else sink.detail or None,
        "dead_letter": sink.dead_letter,
        "configured": sink.attached,
    }
    if sink.unattributed:
        shown["rejected_of_its_batch"] = sink.unattributed
    if isinstance(found, str):
        shown["document"] = {"found": None, "index": None, "why": found}
    elif found is not None:
        index = found.get(document_key(life.org, life.uuid))
        shown["document"] = {"found": index is not None, "index": index, "why": None}
    return shown


def _why_waiting(sink: SinkLife, live: Mapping[str, Any] | None) -> str:
    """Return why an event waits for `sink`.

    `live` is the status of the running forwarder; None if no forwarder runs.
    """
    replay = "sent again as a dead letter; " if sink.replaying else ""
    if not sink.attached:
        return f"{replay}{sink.sink} is not configured; configure it again, or run: forwarder forget-sink {sink.sink}"
    if live is None:
        return f"{replay}no forwarder runs on this store; the next forwarder that starts sends the event"
    worker = live["sinks"].get(sink.sink)
    if worker is None:
        return f"{replay}the running forwarder does not deliver to {sink.sink}; reload it (SIGHUP)"
    if worker["state"] in {"paused", "retrying"}:
        wait = worker["next_try_in_seconds"]
        then = f"; next try in {wait:.0f} s" if wait is not None else ""
        return f"{replay}{sink.sink} is {worker['state']}: {worker['last_error']}{then}"
    held, waiting = worker["held"], worker["waiting"]
    if held:
        return (
            f"{replay}{count(held, 'event')} {agrees(held, 'waits', 'wait')} to be sent again: {worker['last_error']}"
        )
    return f"{replay}{count(waiting, 'event')} {agrees(waiting, 'waits', 'wait')}, and {sink.sink} accepts {agrees(waiting, 'it', 'them')}"


def _time(at: Micros | None) -> str | None:
    return None if at is None else iso(at, "milliseconds")


def _second(at: Micros | None) -> str | None:
    """Return the time `at` as text without fractions of a second; None if `at` is None."""
    return None if at is None else iso(at, "seconds")


# The text output


def show(answer: Mapping[str, Any], *, retention: str) -> None:
    """Print the events of `answer`: every detail of each event, or a table if there are more than `MAX_DETAILED` events.

    `answer` is the JSON output, and `retention` says how long the store keeps the bodies of events.
    """
    events = answer["events"]
    if len(events) > MAX_DETAILED:
        _table(events)
        more = "; there are more: --limit shows them" if answer["more"] else ""
        echo(f"{count(len(events), 'event')}, the newest first{more}. To see all about an event: forwarder find UUID")
        return
    for number, event in enumerate(events):
        if number:
            echo()
        _life(event, retention)


def show_malformed(answer: Mapping[str, Any]) -> None:
    """Print the malformed events of `answer` that match the search."""
    for one in answer["malformed"]:
        detail = shortened(one["detail"], LONGEST_ANSWER)
        echo(f"malformed event of {one['org']}, received {one['at']}: {detail}", fg="red")
        echo(f"  The receiver made it a dead letter: forwarder dead-letters show {one['dead_letter']}")


def _life(event: Mapping[str, Any], retention: str) -> None:
    kind = shortened(event["event_type"] or "(its body was dropped)")
    echo(f"{kind}  {event['uuid']}  {event['org']}", fg="cyan")
    for name, text in _facts(event, retention):
        echo(f"  {name:<10} {printable_line(text)}")
    for name, sink in event["sinks"].items():
        echo(f"  {name:<10} {_place(sink)}", fg=_COLOURS.get(sink["place"]))
        if "document" in sink:
            echo(f"  {'':<10} {_document(sink)}")


def _facts(event: Mapping[str, Any], retention: str) -> Iterator[tuple[str, str]]:
    if event["published"]:
        message, login, actor_id = (shortened(event[key] or "") for key in ("message", "actor_login", "actor_id"))
        who = " ".join(filter(None, (login, actor_id and f"({actor_id})")))
        what = "; ".join(filter(None, (message, who)))
        yield "happened", f"{event['published']}  {what}".rstrip()
        if event["source"] not in {"alert", "action"}:
            yield "hook", _hook(event)
    if event["source"]:
        late = _seconds(event["published"], event["received_at"])
        after = f", {late:,.1f} s after it happened" if late >= 0 else ""
        yield "came", f"{event['received_at']} by {_SOURCES[event['source']]}{after}"
    copies = event["copies"]
    if copies["hook"] or copies["system_log"]:
        parts = [
            f"{number:,} by {_SOURCES[source]}"
            for number, source in ((copies["hook"], "hook"), (copies["system_log"], "log"))
            if number
        ]
        yield "copies", f"{' and '.join(parts)}, the last {copies['last_at']}; dropped as duplicates"
    if event["missed_by_hook_at"]:
        yield "missed", f"the hook did not deliver it by {event['missed_by_hook_at']}; see: forwarder gaps"
    elif event["pending_since"]:
        yield "pending", f"since {event['pending_since']}; the hook may still deliver it"
    for alert in event["alerts"]:
        yield "alert", f"{alert['rule']} ({alert['level']}): forwarder find {alert['uuid']}"
    for action in event["actions"]:
        yield "action", f"{action['about']}: {action['state']}: forwarder reactions show {action['id']}"
    number = f" as event {event['seq']:,}" if event["seq"] else ""
    stored = f"{event['stored_at'] or 'long ago: the store has already dropped its uuid'}{number}"
    if not event["body_held"]:
        stored += f"; its body was dropped: the store keeps bodies for {retention}, longer if a sink has not finished the event"
    yield "stored", stored


def _hook(event: Mapping[str, Any]) -> str:
    if not event["hook_eligible"]:
        return "hooks do not carry this type; only the System Log has it"
    named = event["named_for_our_hook"]
    if named is None:
        return (
            "hooks carry this type; Okta meant the event for a hook, but the forwarder does not know the id of its "
            "own hook"
        )
    return "hooks carry this type; Okta " + (
        "meant the event for our hook" if named else "did not mean the event for our hook"
    )


def _place(sink: Mapping[str, Any]) -> str:
    at = f" {sink['at']}" if sink["at"] else ""
    why = shortened(sink["why"] or "", LONGEST_ANSWER)
    text: str = {
        "delivered": f"delivered{at}",
        "waiting": f"waiting: {why}",
        "dead": f"dead letter {sink['dead_letter']} since{at}: {why}",
        "discarded": f"discarded{at} by an operator",
        "skipped": f"skipped{at}: the sink was added later, and starts with newer events",
        "filtered": f"filtered{at} by `only` or `except` of the sink",
        "finished": "finished; the store has dropped the details: whether the event was delivered, and when",
    }[sink["place"]]
    if rejected := sink.get("rejected_of_its_batch"):
        text += f"; but the sink rejected {rejected:,} events of the same batch without naming them; this event may be one of them"
    return text if sink["configured"] or sink["place"] == "waiting" else f"{text} (the sink is no longer configured)"


def _document(sink: Mapping[str, Any]) -> str:
    document = sink["document"]
    if document["found"] is None:
        return f"not looked up in Elasticsearch: {document['why']}"
    if document["found"]:
        return f"its document is in {document['index']}"
    if sink["place"] == "delivered":
        return (
            "its document is NOT in Elasticsearch: the document was deleted, has expired, or was dropped by an "
            "ingest pipeline"
        )
    return "its document is not in Elasticsearch"


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _table(events: list[Mapping[str, Any]]) -> None:
    sinks = sorted({name for event in events for name in event["sinks"]})
    table = terminal.folded_table("happened", "event type", "actor", "org", "by", *sinks, "uuid")
    for event in events:
        places = [event["sinks"][name]["place"] if name in event["sinks"] else "" for name in sinks]
        actor = event["actor_login"] or event["actor_id"] or ""
        by = "missed" if event["missed_by_hook_at"] else event["source"] or ""
        known = (event["published"] or "", event["event_type"] or "", actor, event["org"], by)
        cells = (shortened(cell) for cell in (*known, *places))
        table.add_row(*map(printable_line, (*cells, event["uuid"])))
    terminal.console().print(table)
