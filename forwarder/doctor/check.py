"""What a check of `forwarder doctor` is, and what it found."""

import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from forwarder.settings import Settings

if TYPE_CHECKING:
    from forwarder.doctor.context import Context


class Verdict(StrEnum):
    """What a check says."""

    OK = "ok"
    WARN = "warn"
    """It works, and an operator should look at it."""
    FAIL = "fail"
    """It does not work."""
    SKIP = "skip"
    """It could not be checked; `seen` says why."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that a check saw; `fix` is the command, or the step, that fixes it. `heading` is a section of the runbook in
    place of the check's own."""

    verdict: Verdict
    seen: str
    fix: str = ""
    heading: str = ""


def ok(seen: str) -> Finding:
    """Return that all is well."""
    return Finding(Verdict.OK, seen)


def warn(seen: str, fix: str) -> Finding:
    """Return what works, and should be looked at."""
    return Finding(Verdict.WARN, seen, fix)


def fail(seen: str, fix: str) -> Finding:
    """Return what does not work."""
    return Finding(Verdict.FAIL, seen, fix)


def skip(seen: str, fix: str = "") -> Finding:
    """Return why there is nothing to check."""
    return Finding(Verdict.SKIP, seen, fix)


def from_line(verdict: Verdict, line: str, fix: str) -> Finding:
    """Read a message in the form of the product: what happened; what to do. Without the second part, use `fix`."""
    seen, _, hint = line.partition("; ")
    return Finding(verdict, seen, hint or fix)


class Kind(StrEnum):
    """What a check does."""

    OFFLINE = "offline"
    """Reads the configuration and the files that it names; `forwarder check` runs these too."""
    ONLINE = "online"
    """Also asks the other side, and changes nothing."""
    SEND = "send"
    """Sends something; only with --send."""


Found = Finding | Sequence[Finding]
Run = Callable[["Context", str], Coroutine[Any, Any, Found]]
"""Runs a check on one subject: the name of an org or a sink, or an empty text."""


def _whole(_: Settings) -> Iterable[str]:
    return ("",)


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        id: stable; the part before the dot is its group.
        what: what it looks at, in a phrase.
        heading: the section of docs/runbook.md that says more.
        run: looks.
        subjects: what it looks at in turn: names of orgs or sinks.
        needs: checks before it in the table; if one of them fails, this one is skipped.
        kind: what it does.
        late: the verdict if it is not finished in time.
    """

    id: str
    what: str
    heading: str
    run: Run
    subjects: Callable[[Settings], Iterable[str]] = _whole
    needs: tuple[str, ...] = ()
    kind: Kind = Kind.ONLINE
    late: Verdict = Verdict.FAIL

    @property
    def group(self) -> str:
        """The part of the forwarder that it is about."""
        return self.id.partition(".")[0]

    @property
    def url(self) -> str:
        """The section of the runbook, as a link."""
        return section_url(self.heading)


class Row(msgspec.Struct, frozen=True):
    """One line of the table, as `--json` prints it."""

    id: str
    group: str
    verdict: Verdict
    seen: str
    fix: str = msgspec.field(name="mend")  # scripts read the key by this name
    url: str
    seconds: float


def section_url(heading: str) -> str:
    """Return the link to a section of the runbook."""
    return f"docs/runbook.md#{slug(heading)}"


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
