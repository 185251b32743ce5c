"""The operations that change the store, except the append of events. The writer thread runs them.

Each operation is a function whose first argument is the transaction. If an operation raises an exception, the whole
transaction is rolled back.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext

from forwarder.core.action import Action
from forwarder.core.errors import NotAnEventError, StoreError
from forwarder.core.event import Source, read_event
from forwarder.core.outcome import RejectReason
from forwarder.core.ports import Appended, Batch, Settlement, Start
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.store.dead_letters import RECEIVER
from forwarder.store.rule_counts import NONE, HeldBack
from forwarder.store.sqlite import action_rows, queries, rule_hours
from forwarder.store.sqlite.encoded_uuid import decode_uuid
from forwarder.store.sqlite.transaction import Transaction

_INSERT_DEAD_LETTER = """
INSERT INTO dead_letters (sink, seq, state, count, reason, detail, at,
  org, uuid, event_type, published, received_at, via, envelope_id, body)
SELECT ?, seq, 'dead', 1, ?, ?, ?, name, uuid, event_type, published, received_at, via, envelope_id, body
FROM events CROSS JOIN orgs ON id = org WHERE seq = ?
"""

_PROBE = 65536  # the bytes that a probe writes


def mark_missed(tx: Transaction, org: str, before: Micros, limit: int) -> int:
    """Mark at most `limit` events of `org` as missed; see `core.ports.EventStore.mark_missed`."""
    # One statement does all, because sqlite3 releases the GIL for each statement, and getting it back may take long.
    return tx.db.execute(
        "UPDATE awaited SET missed_at = :now WHERE org = (SELECT id FROM orgs WHERE name = :org) "
        "AND uuid IN (SELECT uuid FROM awaited WHERE org = (SELECT id FROM orgs WHERE name = :org) "
        "AND missed_at IS NULL AND since < :before AND published < :before ORDER BY since LIMIT :limit)",
        {"now": tx.now, "org": org, "before": before, "limit": limit},
    ).rowcount


def attach(tx: Transaction, sink: str, start: Start) -> int:
    """Attach `sink` to the store, and return its position; see `store.interface.Store.log`.

    Raises:
        StoreError: the name of the sink is reserved.
    """
    if sink == RECEIVER:
        raise StoreError(f"the sink name {RECEIVER} is reserved for malformed events; give the sink another name")
    oldest = tx.db.execute("SELECT MIN(seq) FROM events").fetchone()[0]
    last_dropped = tx.stored if oldest is None else oldest - 1  # the `seq` of the last event whose body was dropped
    row = tx.db.execute("SELECT seq, attached FROM positions WHERE sink = ?", (sink,)).fetchone()
    if row is None:
        first = tx.stored if start == "now" else last_dropped
        tx.db.execute("INSERT INTO positions VALUES (?, ?, 0, 0, ?, 1, 0)", (sink, first, first))
        _record_settlement(tx, sink, 0, first, skipped=True)
        return int(first)
    position, attached = row
    if attached:
        return int(position)
    skipped = max(0, last_dropped - position)  # events whose bodies were dropped while the sink was detached
    tx.db.execute(
        "UPDATE positions SET attached = 1, seq = seq + ?, skipped = skipped + ? WHERE sink = ?",
        (skipped, skipped, sink),
    )
    _record_settlement(tx, sink, position, position + skipped, skipped=True)
    return int(position + skipped)


def _record_settlement(  # noqa: PLR0913  # a row has as many columns
    tx: Transaction,
    sink: str,
    before: int,
    last: int,
    filtered: Sequence[int] = (),
    unattributed: int = 0,
    *,
    skipped: bool = False,
) -> None:
    """Record for `forwarder find` that `sink` has now finished the events with a `seq` from `before` + 1 to `last`.

    `filtered` has the `seq` numbers of the events that the sink's settings exclude. `unattributed` is the number of
    events that the sink rejected without saying which events. `skipped` is True if the sink never gets any of the
    events.
    """
    if last > before:
        bits = None
        if filtered:
            bits = bytearray((last - before + 7) // 8)
            for seq in filtered:
                bits[(seq - before - 1) // 8] |= 1 << (seq - before - 1) % 8
        row = (sink, last, before + 1, tx.now, skipped, bits, unattributed)
        tx.db.execute("INSERT OR REPLACE INTO settlements VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def detach_except(tx: Transaction, sinks: Collection[str]) -> None:
    """See `store.interface.Store.detach_except`."""
    for (sink,) in tx.db.execute("SELECT sink FROM positions WHERE attached").fetchall():
        if sink not in sinks:
            tx.db.execute("UPDATE positions SET attached = 0 WHERE sink = ?", (sink,))


def forget_sink(tx: Transaction, sink: str, *, running: bool) -> int:
    """See `store.interface.StoreCommands.forget_sink`. `running` says whether a forwarder runs on the store."""
    row = tx.db.execute("SELECT attached FROM positions WHERE sink = ?", (sink,)).fetchone()
    if row is None:
        raise StoreError(
            f"unknown sink {sink}: the store keeps nothing for a sink with this name; to list the sinks, run: "
            "forwarder stats"
        )
    if running and row[0]:
        raise StoreError(
            f"the forwarder still delivers to the sink {sink}; remove the sink from the configuration, restart "
            "the forwarder, then run this command again"
        )
    dead = tx.db.execute("DELETE FROM dead_letters WHERE sink = ? RETURNING count", (sink,)).fetchall()
    for table in ("positions", "settlements", "ended_letters"):
        tx.db.execute(f"DELETE FROM {table} WHERE sink = ?", (sink,))  # noqa: S608 - constants
    return sum(count for (count,) in dead)


def settle(tx: Transaction, sink: str, settlement: Settlement, *, again: bool = False) -> None:
    """Store the results `settlement` of `sink`; see `core.ports.EventLog.settle`.

    `again` is True if an earlier call with `settlement` reported an error. If the earlier call was committed
    nevertheless, this call does nothing.

    Raises:
        ValueError: the sink is not attached; or the numbers of `settlement` contradict each other, so an event would be
            lost or counted twice.
    """
    row = tx.db.execute("SELECT seq FROM positions WHERE sink = ? AND attached", (sink,)).fetchone()
    if row is None:
        raise ValueError(f"the sink {sink} is not attached to the store")
    if again and _is_committed(tx, sink, settlement, position=row[0]):
        return
    _check_numbers(sink, settlement, before=row[0], last=tx.stored)
    for dead in settlement.dead:
        copy = (sink, dead.reason.value, dead.detail, tx.now, dead.seq)
        _require_one_row(tx.db.execute(_INSERT_DEAD_LETTER, copy).rowcount, sink, dead.seq)
    if settlement.unattributed:
        tx.db.execute(
            "INSERT INTO dead_letters (sink, state, count, reason, detail, at, org, uuid, event_type, via, "
            "envelope_id) VALUES (?, 'dead', ?, ?, ?, ?, '', '', '', '', '')",
            (sink, settlement.unattributed, RejectReason.PARTIAL_SUCCESS.value, settlement.unattributed_detail, tx.now),
        )
    _settle_replays(tx, sink, settlement)
    _record_settlement(tx, sink, row[0], settlement.position, settlement.filtered, settlement.unattributed)
    tx.db.execute(
        "UPDATE positions SET seq = ?, delivered = delivered + ?, filtered = filtered + ? WHERE sink = ?",
        (
            settlement.position,
            settlement.delivered - settlement.unattributed + len(settlement.replayed),
            len(settlement.filtered) + len(settlement.filtered_replays),
            sink,
        ),
    )


def _is_committed(tx: Transaction, sink: str, settlement: Settlement, *, position: int) -> bool:
    """Return whether `settlement` of `sink` was committed already. `position` is the current position of the sink.

    It is enough to check one part of the settlement, because a transaction is committed as a whole or not at all.
    """
    if settlement.delivered or settlement.dead or settlement.filtered:
        return position == settlement.position
    replays = [*settlement.replayed, *settlement.filtered_replays, *(dead.seq for dead in settlement.dead_again)]
    (waiting,) = tx.db.execute(
        "SELECT COUNT(*) FROM dead_letters WHERE sink = ? AND state = 'replaying' "
        "AND seq IN (SELECT value FROM json_each(?))",
        (sink, json.dumps(replays)),
    ).fetchone()
    return bool(waiting < len(replays))


def _check_numbers(sink: str, settlement: Settlement, *, before: int, last: int) -> None:
    dead = [rejection.seq for rejection in settlement.dead]
    named = {*dead, *settlement.filtered}
    if (
        len(named) != len(dead) + len(settlement.filtered)
        or settlement.position - before != settlement.delivered + len(named)
        or not before <= settlement.position <= last
        or not 0 <= settlement.unattributed <= settlement.delivered
        or not all(before < seq <= settlement.position for seq in named)
    ):
        raise ValueError(
            f"the numbers of the sink {sink} do not add up: its position is {before}, the newest event is {last}, and the "
            f"new position would be {settlement.position}; delivered: {settlement.delivered}, of which rejected without saying which: "
            f"{settlement.unattributed}; dead letters: {sorted(dead)}; filtered: {len(settlement.filtered)}. This is a bug: please report it"
        )


def _settle_replays(tx: Transaction, sink: str, settlement: Settlement) -> None:
    ended = dict.fromkeys(settlement.replayed, "delivered") | dict.fromkeys(settlement.filtered_replays, "filtered")
    for seq, place in ended.items():
        deleted = tx.db.execute(
            "DELETE FROM dead_letters WHERE sink = ? AND seq = ? AND state = 'replaying'", (sink, seq)
        )
        _require_one_row(deleted.rowcount, sink, seq)
        _record_ended_letter(tx, sink, seq, place)
    for dead in settlement.dead_again:
        updated = tx.db.execute(
            "UPDATE dead_letters SET state = 'dead', reason = ?, detail = ?, at = ? "
            "WHERE sink = ? AND seq = ? AND state = 'replaying'",
            (dead.reason.value, dead.detail, tx.now, sink, dead.seq),
        )
        _require_one_row(updated.rowcount, sink, dead.seq)


def _record_ended_letter(tx: Transaction, sink: str, seq: int, place: str) -> None:
    tx.db.execute("INSERT OR REPLACE INTO ended_letters VALUES (?, ?, ?, ?)", (sink, seq, place, tx.now))


def _require_one_row(rows: int, sink: str, seq: int) -> None:
    if rows != 1:
        raise ValueError(
            f"the sink {sink} returned a result for the event {seq}, but the store has no pending delivery of "
            "this event to this sink. This is a bug: please report it"
        )


def replay(tx: Transaction, ids: Iterable[int]) -> int:
    """Mark the dead letters `ids` to be sent again; see `store.interface.StoreCommands.replay`.

    Return the number of dead letters that were marked, plus the number of malformed events that were stored as events.
    """
    count = 0
    for number in ids:
        row = tx.db.execute(
            "SELECT sink FROM dead_letters WHERE id = ? AND state = 'dead' AND body IS NOT NULL", (number,)
        ).fetchone()
        if row is None:
            continue
        if row[0] == RECEIVER:
            count += _parse_again(tx, number)
        else:
            tx.db.execute("UPDATE dead_letters SET state = 'replaying' WHERE id = ?", (number,))
            count += 1
    return count


def _parse_again(tx: Transaction, number: int) -> bool:
    org, received_at, via, envelope_id, body = tx.db.execute(
        "SELECT org, received_at, via, envelope_id, body FROM dead_letters WHERE id = ?", (number,)
    ).fetchone()
    envelope_id = decode_uuid(envelope_id)
    try:
        event = read_event(body, org=org, source=Source(via), received_at=received_at, envelope_id=envelope_id)
    except NotAnEventError as error:
        tx.db.execute("UPDATE dead_letters SET detail = ?, at = ? WHERE id = ?", (str(error), tx.now, number))
        return False
    tx.append([Batch([event])])
    tx.rejected -= 1  # the malformed event has become an event
    tx.db.execute("DELETE FROM dead_letters WHERE id = ?", (number,))
    return True


def discard(tx: Transaction, ids: Iterable[int]) -> int:
    """Delete the dead letters `ids`; see `store.interface.StoreCommands.discard`."""
    count = 0
    for number in ids:
        deleted = tx.db.execute(
            "DELETE FROM dead_letters WHERE id = ? AND state = 'dead' RETURNING sink, count, seq", (number,)
        ).fetchone()
        if deleted is None:
            continue
        sink, events, seq = deleted
        if seq is not None:
            _record_ended_letter(tx, sink, seq, "discarded")
        tx.db.execute("UPDATE positions SET discarded = discarded + ? WHERE sink = ?", (events, sink))
        count += events
    return count


def commit_rules(
    tx: Transaction, batch: Batch, new_sightings: Iterable[Sighting], held_back: HeldBack = NONE
) -> Appended:
    """See `store.interface.Store.commit_rules`. A sighting replaces the stored sighting of the same user, kind and
    value.

    If the store already has the cursor of `batch`, an earlier call was committed although it reported an error. In this
    case, `held_back` is not counted again.
    """
    if batch.cursor is not None and queries.cursor(tx.db, batch.cursor[0]) == batch.cursor[1]:
        held_back = NONE
    (appended,) = tx.append([batch])
    rows = [(tx.org(new.org), new.user, new.kind, new.value, new.since, new.last, new.data) for new in new_sightings]
    tx.db.executemany("INSERT OR REPLACE INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    rule_hours.add(tx.db, appended.stored, held_back, tx.now)
    return appended


def commit_actions(tx: Transaction, batch: Batch, actions: Iterable[Action]) -> frozenset[str]:
    """See `core.action.ActionStore.commit_actions`."""
    rows, size = action_rows.rows(actions, tx.now)
    with nullcontext() if any(row["planned"] for row in rows) else tx.with_reserve():
        tx.append([batch])
        tx.reserve_space(size)
    written = {row["key"]: tx.db.execute(action_rows.WRITE, row).rowcount for row in rows}
    return frozenset(key for key, count in written.items() if not count)


def write_probe(tx: Transaction) -> None:
    """Write a row of 64 KiB, the size of a large event, to check whether events can be stored."""
    tx.reserve_space(_PROBE)
    tx.db.execute("INSERT INTO probe VALUES (zeroblob(?))", (_PROBE,))


def delete_probe(tx: Transaction) -> None:
    """Delete the row that `write_probe` wrote."""
    tx.db.execute("DELETE FROM probe")
