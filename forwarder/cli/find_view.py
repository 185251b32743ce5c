"""Makes the JSON output of `forwarder find`. The text output is made from the JSON output."""

from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.event import decode_leniently
from forwarder.core.time import Micros, iso
from forwarder.core.wording import agrees, count
from forwarder.okta.system_log.event_details import targets_any_hook, targets_hook
from forwarder.store.event_life import Life, SearchResult, SinkLife

Documents = Mapping[str, Mapping[str, str] | str]
"""The results of the searches, by name of the sink.

A result is the index of each document that was found, by `document_key`, or a text that says why the sink was not
searched.
"""


class _Shown(msgspec.Struct):
    actor: Any = None
    message: Any = msgspec.field(name="displayMessage", default=None)


_decode = msgspec.json.Decoder(_Shown).decode


def document_key(org: str, uuid: str) -> str:
    """Return the key of the event `uuid` of `org` in `Documents`."""
    return f"{org}:{uuid}"


def life_as_json(
    life: Life, *, hook_id: str, live: Mapping[str, Any] | None, documents: Documents
) -> dict[str, Any]:
    """Return everything that is known about one event, ready for JSON.

    Args:
        life: what the store knows about the event.
        hook_id: the id of our hook in the org of the event; empty if the id is not known.
        live: the status of the running forwarder; None if no forwarder runs.
        documents: the results of the searches in Elasticsearch.
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
        "copies": {
            "hook": life.hook_copies,
            "system_log": life.log_copies,
            "last_at": _second(life.copied_at),
        },
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
        return f"{replay}{count(held, 'event')} {agrees(held, 'waits', 'wait')} to be sent again: {worker['last_error']}"
    return f"{replay}{count(waiting, 'event')} {agrees(waiting, 'waits', 'wait')}, and {sink.sink} accepts {agrees(waiting, 'it', 'them')}"


def _time(at: Micros | None) -> str | None:
    return None if at is None else iso(at, "milliseconds")


def _second(at: Micros | None) -> str | None:
    """Return `at` as text without a fraction, because the store keeps such times in whole seconds; None for None."""
    return None if at is None else iso(at, "seconds")
