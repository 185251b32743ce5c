"""Lets the ops listener read the store and change dead letters. All results can be encoded as JSON."""

from typing import Any

from forwarder.core.ports import DeadLetterSelection
from forwarder.core.time import iso
from forwarder.store.dead_letters import DeadLetter
from forwarder.store.interface import Store


class OpsData:
    """Implements `ops.ports.StoreData` with the store of the running forwarder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def dead_letters(self, wanted: DeadLetterSelection, limit: int) -> dict[str, Any]:
        counts = await self._store.view.count_dead_letters(wanted)
        letters = await self._store.view.dead_letters(wanted, limit=limit)
        return {
            "events": sum(counts.values()),
            "counts": [{"sink": sink, "reason": reason, "events": events} for (sink, reason), events in counts.items()],
            "dead_letters": [_letter(letter) for letter in letters],
        }

    async def dead_letter(self, number: int) -> tuple[dict[str, Any], bytes | None] | None:
        letter = await self._store.view.dead_letter(number)
        return None if letter is None else (_letter(letter), letter.body)

    async def replay(self, wanted: DeadLetterSelection) -> int:
        return await self._store.replay(wanted)

    async def discard(self, wanted: DeadLetterSelection) -> int:
        return await self._store.discard(wanted)

    async def gaps(self, limit: int) -> dict[str, Any]:
        found = await self._store.view.gaps(limit=limit)
        return {
            "missed": found.count,
            "types": found.missed,
            "pending": found.pending,
            "events": [gap.row() for gap in found.events],
        }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "sink": letter.sink,
        "seq": letter.seq,
        "state": letter.state,
        "events": letter.count,
        "reason": letter.reason,
        "detail": letter.detail,
        "at": iso(letter.at, "milliseconds"),
        "org": letter.org,
        "uuid": letter.uuid,
        "event_type": letter.event_type,
        "replayable": not letter.unattributed,
    }
