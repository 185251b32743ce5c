"""Dead letters and missed events in memory."""

from typing import Any

from forwarder.core.ports import DeadLetterSelection


class FakeData:
    """`ops.ports.StoreData`; `letters` has sink and reason of each dead letter by its id."""

    def __init__(self) -> None:
        self.letters: dict[int, tuple[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.replayed: list[int] = []
        self.discarded: list[int] = []

    def _matching(self, wanted: DeadLetterSelection) -> list[int]:
        return [
            number
            for number, (sink, reason) in self.letters.items()
            if (wanted.ids is None or number in wanted.ids)
            and wanted.sink in (None, sink)
            and wanted.reason in (None, reason)
            and (wanted.last is None or number <= wanted.last)
        ]

    async def dead_letters(self, wanted: DeadLetterSelection, limit: int) -> dict[str, Any]:
        found = self._matching(wanted)
        return {"events": len(found), "counts": [], "dead_letters": [{"id": each} for each in found[::-1][:limit]]}

    async def dead_letter(self, number: int) -> tuple[dict[str, Any], bytes | None] | None:
        return ({"id": number}, self.bodies.get(number)) if number in self.letters else None

    async def replay(self, wanted: DeadLetterSelection) -> int:
        found = self._matching(wanted)
        self.replayed += found
        return len(found)

    async def discard(self, wanted: DeadLetterSelection) -> int:
        found = self._matching(wanted)
        self.discarded += found
        return len(found)

    async def gaps(self, limit: int) -> dict[str, Any]:
        return {"missed": 0, "types": {}, "pending": {}, "events": []}
