"""The types of a check of `forwarder doctor` and of its results."""

import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from forwarder.settings import Settings

if TYPE_CHECKING:
    from forwarder.doctor.context import Context


class CheckVerdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    """What was checked works, but an operator should look at it."""
    FAIL = "fail"
    """What was checked does not work."""
    SKIP = "skip"
    """The check could not run; `seen` says why."""


class Finding(msgspec.Struct, frozen=True):
    """One result of a check: `seen` says what the check saw, `fix` which command or step corrects it.

    `heading` is the section of the runbook about the finding; if it is empty, the `heading` of the check is
    used.
    """

    verdict: CheckVerdict
    seen: str
    fix: str = ""
    heading: str = ""


def ok(seen: str) -> Finding:
    """Return a finding with the verdict `ok`: all is well."""
    return Finding(CheckVerdict.OK, seen)


def warn(seen: str, fix: str) -> Finding:
    """Return a finding with the verdict `warn`: it works, but an operator should look at it."""
    return Finding(CheckVerdict.WARN, seen, fix)


def fail(seen: str, fix: str) -> Finding:
    """Return a finding with the verdict `fail`: something does not work."""
    return Finding(CheckVerdict.FAIL, seen, fix)


def skip(seen: str, fix: str = "") -> Finding:
    """Return a finding with the verdict `skip`: the check could not run, and `seen` says why."""
    return Finding(CheckVerdict.SKIP, seen, fix)


def from_line(verdict: CheckVerdict, line: str, fix: str) -> Finding:
    """Make a finding of `line`, written as "what is wrong; how to fix it". Use `fix` if the second part is
    missing."""
    seen, _, hint = line.partition("; ")
    return Finding(verdict, seen, hint or fix)


class CheckKind(StrEnum):
    """How far a check goes: it reads only files, asks other systems, or sends something."""

    OFFLINE = "offline"
    """Reads the configuration and the files that it names; `forwarder check` also runs these checks."""
    ONLINE = "online"
    """Asks other systems, and changes nothing."""
    SEND = "send"
    """Sends something; only with --send."""


Found = Finding | Sequence[Finding]
Run = Callable[["Context", str], Coroutine[Any, Any, Found]]
"""Runs a check on one subject: the name of an org or a sink, or an empty string for a check without
subjects."""


def _whole(_: Settings) -> Iterable[str]:
    return ("",)


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        id: a stable name; the part before the dot is the group.
        what: what the check examines, as a phrase.
        heading: the section of docs/runbook.md about the check.
        run: runs the check on one subject.
        subjects: returns the subjects of the check, such as names of orgs or sinks.
        needs: ids of earlier checks in the table; if one of these fails, this check is skipped.
        kind: how far the check goes.
        late: the verdict if the check does not end in time.
    """

    id: str
    what: str
    heading: str
    run: Run
    subjects: Callable[[Settings], Iterable[str]] = _whole
    needs: tuple[str, ...] = ()
    kind: CheckKind = CheckKind.ONLINE
    late: CheckVerdict = CheckVerdict.FAIL

    @property
    def group(self) -> str:
        """The part of the forwarder that the check is about: the part of `id` before the dot."""
        return self.id.partition(".")[0]

    @property
    def url(self) -> str:
        """The link to the section of the runbook about this check."""
        return section_url(self.heading)


class CheckRow(msgspec.Struct, frozen=True):
    """One line of the table, as `--json` prints it."""

    id: str
    group: str
    verdict: CheckVerdict
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
