"""Runs checks at the same time. Each check has a time limit, and starts after the checks that it needs."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from forwarder.core.errors import ForwarderError
from forwarder.core.redaction import redact
from forwarder.doctor.check import Check, CheckKind, CheckRow, CheckVerdict, Finding, fail, from_line, section_url, skip
from forwarder.doctor.context import Context

_Rows = asyncio.Task[list[CheckRow]]
_BLOCKED = "because "


def select(
    checks: Sequence[Check], wanted: Collection[str], skipped: Collection[str], kinds: Collection[CheckKind]
) -> list[Check]:
    """Return the checks that an operator wants to run: the checks of `kinds` that are wanted and not skipped.

    `wanted` and `skipped` have ids and groups of checks. If `wanted` is empty, all checks are wanted.
    """
    return [
        check
        for check in checks
        if check.kind in kinds
        and (not wanted or check.id in wanted or check.group in wanted)
        and not {check.id, check.group}.intersection(skipped)
    ]


def with_needs(checks: Sequence[Check], selected: Sequence[Check], usable: Sequence[Check]) -> list[Check]:
    """Return the `selected` checks, and the checks that they need, directly or indirectly.

    A needed check is left out if it is not in `usable`. `checks` is the table of all checks; the result has its order.
    """
    needed = {check.id for check in selected}
    for check in reversed(checks):
        if check.id in needed:
            needed.update(check.needs)
    allowed = {check.id for check in (*selected, *usable)}
    return [check for check in checks if check.id in needed & allowed]


async def run(checks: Sequence[Check], context: Context) -> list[CheckRow]:
    """Run `checks` at the same time, and return their rows in the order of `checks`.

    In `checks`, each check must come after the checks that it needs.
    """
    tasks: dict[tuple[str, str], _Rows] = {}
    ran = {check.id for check in checks}
    for check in checks:
        subjects = tuple(check.subjects(context.settings))
        for subject in subjects:
            before = [
                (need, _needed_tasks(tasks, need, subject, subjects) if need in ran else None) for need in check.needs
            ]
            tasks[check.id, subject] = asyncio.create_task(_run(check, subject, before, context))
    return [row for task in tasks.values() for row in await task]


def _needed_tasks(
    tasks: Mapping[tuple[str, str], _Rows], need: str, subject: str, peers: Collection[str]
) -> Sequence[_Rows]:
    """Return the tasks of the check `need` that must end before a dependent check may run on `subject`.

    `peers` has all subjects of the dependent check. There are three cases:
    1. `need` has a task for `subject`, or a task without a subject. Only this task is returned.
    2. `need` runs on some of `peers`, but not on `subject`. No task is returned.
    3. `need` runs on subjects of another kind: on orgs, for example, if `subject` is a sink. All its tasks are
       returned.
    """
    for key in ((need, subject), (need, "")):
        if key in tasks:
            return (tasks[key],)
    others = {of: task for (check, of), task in tasks.items() if check == need}
    return () if others.keys() & set(peers) else tuple(others.values())


async def _run(
    check: Check, subject: str, before: Sequence[tuple[str, Sequence[_Rows] | None]], context: Context
) -> list[CheckRow]:
    blocked = await _blocked(before)
    began = context.clock.monotonic()
    found = [blocked] if blocked else await _findings(check, subject, context)
    seconds = round(context.clock.monotonic() - began, 3)
    prefix = f"{subject}: " if subject else ""
    return [
        CheckRow(
            check.id,
            check.group,
            finding.verdict,
            redact(prefix + finding.seen),
            redact(finding.fix),
            section_url(finding.heading or check.heading),
            seconds,
        )
        for finding in found
    ]


async def _blocked(before: Sequence[tuple[str, Sequence[_Rows] | None]]) -> Finding | None:
    """Wait for the checks that a check needs. Return a finding that says why the check cannot run; None if it can run.

    `before` is a list of pairs: the id of a needed check, and its tasks. The tasks are None if the needed check is not
    part of this run. A needed check with several tasks counts as passed if at least one of them passed.
    """
    for need, tasks in before:
        if tasks is None:
            return skip(f"{_BLOCKED}{need} was not run")
        reasons = [_blocking(need, await task) for task in tasks]
        if reasons and all(reasons):
            return reasons[0]
    return None


def _blocking(need: str, rows: Sequence[CheckRow]) -> Finding | None:
    for row in rows:
        if row.verdict is CheckVerdict.FAIL:
            return skip(f"{_BLOCKED}{need} failed")
        if row.verdict is CheckVerdict.SKIP:
            return skip(_BLOCKED + _reason(row.seen))
    return None


def _reason(seen: str) -> str:
    """Return the original reason why a check was skipped: the part of its text `seen` after the last "because"."""
    return seen.rpartition(_BLOCKED)[2]


async def _findings(check: Check, subject: str, context: Context) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(context.timeout):
            found = await check.run(context, subject)
    except TimeoutError:
        seen = f"not finished within {context.timeout:g} s"
        return (Finding(check.late, seen, f"try `forwarder doctor {check.id} --timeout 60s`"),)
    except ForwarderError as error:
        return (from_line(CheckVerdict.FAIL, str(error), f"see {check.url}"),)
    except Exception as error:  # noqa: BLE001  # an error in one check must not hide the results of the others
        return (fail(f"the check itself failed ({type(error).__name__}: {error})", "report this as a bug"),)
    return (found,) if isinstance(found, Finding) else found
