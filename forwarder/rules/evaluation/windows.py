"""Keeps the entries that a correlation counts for one group, and finds the windows that make the correlation's
condition true.

A window is a time span as long as the `timespan` of the correlation. A window ends at the time of an entry, and
includes entries at both of its ends. An entry is (time, label, id). The label is the value that a value_count counts,
or the number of the rule.

The result does not depend on the order in which entries arrive. Each entry is inserted at its time, and every window
that contains the entry is checked again, even if the window has later entries. This works because more entries can make
a condition true, but never false.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter

from forwarder.core.time import Micros

Label = str | int
Entry = tuple[Micros, Label, bytes]

PLAIN = 64
"""A group with at most this many entries keeps all of them. A larger group keeps only the entries that a window may
need."""

_MOST = 4096
"""The maximum number of entries of a group, or four times the number that its rule needs, if that is more. The oldest
are dropped first."""


class Windows:
    """The entries of one group, oldest first. If there are more than `compact_at` entries, those that no window needs
    are dropped."""

    __slots__ = ("compact_at", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.compact_at = PLAIN

    def add(self, entry: Entry, keep_from: Micros) -> int | None:
        """Insert `entry` in order of time, and drop entries whose time is before `keep_from`.

        Return the index of `entry`; None if the group has the entry already.
        """
        entries = self.entries
        if not entries or entry > entries[-1]:
            entries.append(entry)
            at = len(entries) - 1
        else:
            at = bisect_left(entries, entry)
            if entries[at] == entry:
                return None
            entries.insert(at, entry)
        if entries[0][0] < keep_from and at:
            old = min(bisect_left(entries, (keep_from,)), at)
            del entries[:old]
            at -= old
        return at


class Shape:
    """The condition of a correlation: which entries a window must have, or how many. All groups of a correlation share
    one Shape."""

    def __init__(self, timespan: Micros, wanted: int) -> None:
        self.timespan = timespan
        self.wanted = wanted

    def completed(self, windows: Windows, at: int) -> Iterator[int]:
        """Find the windows that contain the entry at index `at` and that make the condition true.

        Yield the index of the last entry of each window, the earliest window first.
        """
        raise NotImplementedError

    def measured(self, window: Sequence[Entry]) -> int:
        """Return the number that the condition compares: how many entries, or how many different labels, `window` has."""
        raise NotImplementedError

    def compact(self, windows: Windows, *, alerted: bool) -> None:
        """Drop the entries that no future window needs. `alerted` says whether the group has alerted before."""
        entries = windows.entries
        windows.entries = self.needed(entries, alerted=alerted)[-max(_MOST, 4 * self.wanted) :]
        windows.compact_at = max(PLAIN, 2 * len(windows.entries))

    def needed(self, entries: list[Entry], *, alerted: bool) -> list[Entry]:
        """Return the entries that a future window may need. `alerted` is whether the group has alerted before."""
        raise NotImplementedError

    def window(self, windows: Windows, end: int) -> Sequence[Entry]:
        """Return the entries of the window that ends with the entry at index `end`."""
        entries = windows.entries
        return entries[bisect_left(entries, (entries[end][0] - self.timespan,)) : end + 1]

    def _ends(self, windows: Windows, at: int) -> range:
        """Return the indexes of the last entries of all windows that contain the entry at index `at`."""
        entries = windows.entries
        return range(at, bisect_left(entries, (entries[at][0] + self.timespan + 1,), at))


class Count(Shape):
    """The condition of an event_count: a window has at least `wanted` entries."""

    def completed(self, windows: Windows, at: int) -> Iterator[int]:
        entries, before = windows.entries, self.wanted - 1
        for end in self._ends(windows, at)[max(0, before - at) :]:
            if entries[end - before][0] >= entries[end][0] - self.timespan:
                yield end

    def measured(self, window: Sequence[Entry]) -> int:
        return len(window)

    def needed(self, entries: list[Entry], *, alerted: bool) -> list[Entry]:
        # Before an alert, no window has `wanted` entries, so there are few. After an alert, only the newest matter.
        return entries[-max(2 * self.wanted, PLAIN) :] if alerted else entries


class Different(Shape):
    """The condition of a value_count or a temporal correlation: a window has at least `wanted` different labels."""

    def completed(self, windows: Windows, at: int) -> Iterator[int]:
        entries = windows.entries
        if len(entries) < self.wanted:
            return
        start = bisect_left(entries, (entries[at][0] - self.timespan,))
        counts = Counter(map(itemgetter(1), entries[start:at]))
        for end in self._ends(windows, at):
            time, label, _ = entries[end]
            counts[label] += 1
            while entries[start][0] < time - self.timespan:
                gone = entries[start][1]
                counts[gone] -= 1
                if not counts[gone]:
                    del counts[gone]
                start += 1
            if len(counts) >= self.wanted:
                yield end

    def measured(self, window: Sequence[Entry]) -> int:
        return len({label for _, label, _ in window})

    def needed(self, entries: list[Entry], *, alerted: bool) -> list[Entry]:
        """Drop each entry that lies between two entries with the same label as its own, if the two are at most one
        timespan apart. Every window that contains the dropped entry also contains one of the two."""
        kept: dict[Label, list[Entry]] = {}
        for entry in entries:
            same = kept.setdefault(entry[1], [])
            if len(same) > 1 and entry[0] - same[-2][0] <= self.timespan:
                same.pop()
            same.append(entry)
        needed = sorted(entry for same in kept.values() for entry in same)
        return needed[-max(4 * self.wanted, PLAIN) :] if alerted else needed


class Ordered(Shape):
    """The condition of a temporal_ordered correlation: a window has an entry of each label, in the order 0, 1, 2, …"""

    def completed(self, windows: Windows, at: int) -> Iterator[int]:
        for end in self._ends(windows, at):
            if windows.entries[end][1] == self.wanted - 1 and self._holds(windows, end):
                yield end

    def _holds(self, windows: Windows, end: int) -> bool:
        """Whether the window that ends with the entry at index `end` has all labels in order.

        Search backwards from `end`, because the latest entry of each label is the best choice.
        """
        entries = windows.entries
        oldest, wanted, last = entries[end][0] - self.timespan, self.wanted - 2, entries[end][2]
        for at in range(end - 1, -1, -1):
            time, label, id_ = entries[at]
            if wanted < 0 or time < oldest:
                break
            if label == wanted and id_ != last:  # one event cannot be two steps
                wanted, last = wanted - 1, id_
        return wanted < 0

    def measured(self, window: Sequence[Entry]) -> int:
        return len({label for _, label, _ in window})

    def needed(self, entries: list[Entry], *, alerted: bool) -> list[Entry]:
        """Keep the first and the last entry of each series of successive entries with the same label."""
        kept: list[Entry] = []
        for entry in entries:
            if len(kept) > 1 and kept[-1][1] == kept[-2][1] == entry[1]:
                kept.pop()
            kept.append(entry)
        return kept[-max(4 * self.wanted, PLAIN) :] if alerted else kept


def encode_id(uuid: str) -> bytes:
    """Return a short form of an event's uuid, to save memory. A standard UUID takes 16 bytes."""
    if len(uuid) == 36 and uuid[8] == uuid[13] == uuid[18] == uuid[23] == "-":
        try:
            short = bytes.fromhex(uuid.replace("-", ""))
        except ValueError:
            short = b""
        if len(short) == 16 and decode_id(short) == uuid:
            return short
    text = b"~" + uuid.encode(errors="replace")
    return text + b"\0" if len(text) == 16 else text


def decode_id(short: bytes) -> str:
    """Return the uuid of an event from the short form that `encode_id` made."""
    if len(short) != 16:
        return short[1:].removesuffix(b"\0").decode()
    digits = short.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
