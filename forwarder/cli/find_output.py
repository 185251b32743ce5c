"""Prints the text output of `forwarder find`, which is made from the JSON output."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from forwarder.cli import terminal
from forwarder.cli.terminal import echo
from forwarder.core.printable import printable_line
from forwarder.core.wording import count
from forwarder.store.event_life import FEW

_SOURCES = {
    "hook": "the event hook",
    "log": "the System Log",
    "backfill": "a backfill of the System Log",
    "alert": "a rule of this forwarder",
    "action": "a reaction of this forwarder",
}
_COLOURS = {"delivered": "green", "dead": "red", "waiting": "yellow"}


def show(answer: Mapping[str, Any], *, retention: str) -> None:
    """Print the events of `answer`: all about each event, or a table if there are more than `FEW` events.

    `answer` is the JSON output, and `retention` the time for which the store keeps the bodies of events, as text.
    """
    events = answer["events"]
    if len(events) > FEW:
        _table(events)
        more = "; there are more: --limit shows them" if answer["more"] else ""
        echo(
            f"{count(len(events), 'event')}, the newest first{more}. To see all about an event: forwarder find UUID"
        )
        return
    for number, event in enumerate(events):
        if number:
            echo()
        _life(event, retention)


def show_malformed(answer: Mapping[str, Any]) -> None:
    """Print the malformed events of `answer` that match the search."""
    for one in answer["malformed"]:
        echo(f"malformed event of {one['org']}, received {one['at']}: {one['detail']}", fg="red")
        echo(f"  The receiver made it a dead letter: forwarder dead-letters show {one['dead_letter']}")


def _life(event: Mapping[str, Any], retention: str) -> None:
    kind = event["event_type"] or "(its body was dropped)"
    echo(f"{kind}  {event['uuid']}  {event['org']}", fg="cyan")
    for name, text in _facts(event, retention):
        echo(f"  {name:<10} {printable_line(text)}")
    for name, sink in event["sinks"].items():
        echo(f"  {name:<10} {_place(sink)}", fg=_COLOURS.get(sink["place"]))
        if "document" in sink:
            echo(f"  {'':<10} {_document(sink)}")


def _facts(event: Mapping[str, Any], retention: str) -> Iterator[tuple[str, str]]:
    if event["published"]:
        who = " ".join(filter(None, (event["actor_login"], event["actor_id"] and f"({event['actor_id']})")))
        what = "; ".join(filter(None, (event["message"], who)))
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
    stored = f"{event['stored_at'] or 'long ago; its uuid is forgotten'}{number}"
    if not event["body_held"]:
        stored += f"; its body was dropped: the store keeps bodies for {retention} after every sink has finished them"
    yield "stored", stored


def _hook(event: Mapping[str, Any]) -> str:
    if not event["hook_eligible"]:
        return "hooks do not carry this type; only the System Log has it"
    named = event["named_for_our_hook"]
    if named is None:
        return "hooks carry this type; Okta named a hook for it, but the id of our hook is not known here"
    return "hooks carry this type; Okta " + (
        "named our hook for it" if named else "did not name our hook for it"
    )


def _place(sink: Mapping[str, Any]) -> str:
    at = f" {sink['at']}" if sink["at"] else ""
    text: str = {
        "delivered": f"delivered{at}",
        "waiting": f"waiting: {sink['why']}",
        "dead": f"dead letter {sink['dead_letter']} since{at}: {sink['why']}",
        "discarded": f"discarded{at} by an operator",
        "skipped": f"skipped{at}: the sink was added later, and starts with newer events",
        "filtered": f"filtered{at} by `only` or `except` of the sink",
        "finished": "finished; the store no longer knows when, and whether the event was delivered",
    }[sink["place"]]
    if rejected := sink.get("rejected_of_its_batch"):
        text += f", unless it is among the {rejected:,} events of its batch that the sink rejected without naming them"
    return (
        text
        if sink["configured"] or sink["place"] == "waiting"
        else f"{text} (the sink is no longer configured)"
    )


def _document(sink: Mapping[str, Any]) -> str:
    document = sink["document"]
    if document["found"] is None:
        return f"not looked up in Elasticsearch: {document['why']}"
    if document["found"]:
        return f"its document is in {document['index']}"
    if sink["place"] == "delivered":
        return "its document is NOT in Elasticsearch: it was deleted, has expired, or an ingest pipeline dropped it"
    return "its document is not in Elasticsearch"


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _table(events: list[Mapping[str, Any]]) -> None:
    from rich.table import Table

    sinks = sorted({name for event in events for name in event["sinks"]})
    table = Table(box=None)
    for column in ("happened", "event type", "actor", "org", "by", *sinks, "uuid"):
        table.add_column(column, overflow="fold")
    for event in events:
        places = [event["sinks"][name]["place"] if name in event["sinks"] else "" for name in sinks]
        actor = event["actor_login"] or event["actor_id"] or ""
        by = "missed" if event["missed_by_hook_at"] else event["source"] or ""
        known = (event["published"] or "", event["event_type"] or "", actor, event["org"], by)
        table.add_row(*map(printable_line, (*known, *places, event["uuid"])))
    terminal.console().print(table)
