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
    """The checked part works, but an operator should look at it."""
    FAIL = "fail"
    """The checked part does not work."""
    SKIP = "skip"
    """The check could not run; the field `seen` of the finding says why."""


class Finding(msgspec.Struct, frozen=True):
    """One result of a check.

    Attributes:
        verdict: how good or bad the result is.
        seen: what the check saw.
        fix: the command or the step that corrects the problem; empty if there is no problem.
        heading: the section of the runbook about this result. If it is empty, the section of the check applies.
    """

    verdict: CheckVerdict
    seen: str
    fix: str = ""
    heading: str = ""


def ok(seen: str) -> Finding:
    """Return a finding with the verdict `ok`: all is well."""
    return Finding(CheckVerdict.OK, seen)


def warn(seen: str, fix: str) -> Finding:
    """Return a finding with the verdict `warn`: the checked part works, but an operator should look at it."""
    return Finding(CheckVerdict.WARN, seen, fix)


def fail(seen: str, fix: str) -> Finding:
    """Return a finding with the verdict `fail`: the checked part does not work."""
    return Finding(CheckVerdict.FAIL, seen, fix)


def skip(seen: str, fix: str = "") -> Finding:
    """Return a finding with the verdict `skip`: the check could not run, and `seen` says why."""
    return Finding(CheckVerdict.SKIP, seen, fix)


def from_line(verdict: CheckVerdict, line: str, fix: str) -> Finding:
    """Return a finding made of `line`, a text of the form "what is wrong; how to fix it".

    `fix` is used if `line` has no second part.
    """
    seen, _, hint = line.partition("; ")
    return Finding(verdict, seen, hint or fix)


class CheckKind(StrEnum):
    """How far a check goes: whether it only reads files, asks other systems, or sends something."""

    OFFLINE = "offline"
    """Reads the configuration and the files that it names; `forwarder check` also runs these checks."""
    ONLINE = "online"
    """Asks other systems, and changes nothing."""
    SEND = "send"
    """Sends something; such a check runs only with the option --send."""


Found = Finding | Sequence[Finding]
"""What a check returns: one finding or several."""

Run = Callable[["Context", str], Coroutine[Any, Any, Found]]
"""Runs a check on one subject.

A subject is the name of what is checked, such as an org or a sink. A check without subjects gets an empty string.
"""


def _no_subjects(_: Settings) -> Iterable[str]:
    """Return the subjects of a check that has none: one empty string, so that the check runs once."""
    return ("",)


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        id: the stable name of the check; the part before the dot is the group.
        what: what the check examines, as a phrase.
        heading: the section of docs/runbook.md about the check.
        run: runs the check on one subject.
        subjects: returns the subjects of the check, such as names of orgs or sinks.
        needs: the ids of earlier checks in the table. If one of them fails, is skipped or was not run, this check is
            skipped.
        kind: whether the check only reads files, asks other systems, or sends something.
        late: the verdict if the check takes longer than its time limit.
    """

    id: str
    what: str
    heading: str
    run: Run
    subjects: Callable[[Settings], Iterable[str]] = _no_subjects
    needs: tuple[str, ...] = ()
    kind: CheckKind = CheckKind.ONLINE
    late: CheckVerdict = CheckVerdict.FAIL

    @property
    def group(self) -> str:
        """The beginning of `id`, before the dot: what the check is about, such as `store`."""
        return self.id.partition(".")[0]

    @property
    def url(self) -> str:
        """The link to the section of the runbook about this check."""
        return section_url(self.heading)


class CheckRow(msgspec.Struct, frozen=True):
    """A finding of a check on one subject, as a line of the output. `doctor --json` prints these fields."""

    id: str
    group: str
    verdict: CheckVerdict
    seen: str
    fix: str = msgspec.field(name="mend")  # the name of the key in the output: scripts of operators use it
    url: str
    seconds: float


def section_url(heading: str) -> str:
    """Return the link to the section `heading` of the runbook."""
    return f"docs/runbook.md#{slug(heading)}"


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes for `heading` on a page."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
