"""Lists the problems of the whole forwarder, the worst first, and sums them up."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from forwarder.core.wording import count
from forwarder.health_verdict.current import current_problems
from forwarder.health_verdict.problem import Level, Problem
from forwarder.health_verdict.recent import recent_problems
from forwarder.health_verdict.samples import Samples

_RELOAD = "ForwarderConfigReloadFailed"
_REACTIONS = {
    "Reactions",
    "ForwarderActionUnknown",
    "ForwarderActionsFailed",
    "ForwarderApprovalsWaiting",
    "ForwarderEventsUnconfirmed",
    "ForwarderReactionsNotDelivered",
    "ForwarderReactionsPaused",
    "ForwarderRoleLost",
    "ForwarderUndoOverdue",
}
"""The sections of the runbook about problems of reactions."""

_ATTENTION = {
    _RELOAD,
    "ForwarderAnswersSlowly",
    "ForwarderCertificateExpiring",
    "ForwarderClockSkew",
    "ForwarderDiskFilling",
    "ForwarderHookQuota",
    "ForwarderOktaApiFailing",
    "ForwarderOktaRateLimited",
}
"""The sections of the runbook about problems that have delayed no event yet."""

_STORED = {"ForwarderSinkDown", "ForwarderSinkPaused", "ForwarderStoreFilling"}
"""The sections of the runbook about critical problems with which the store still keeps every event."""

_REMEMBERED = 60
"""The number of minutes after a start in which the verdict `ok` says when that was. Most problems that are counted over
some time end within this time, and a restart forgets them, although Prometheus remembers."""


class Verdict(msgspec.Struct, frozen=True):
    """The state of the forwarder. `level` is a value of `Level`, or `waiting` (no event has come from an org yet), or
    `ok`."""

    level: str
    text: str


def problems(status: Mapping[str, Any], samples: Samples) -> list[Problem]:
    """Return the problems, critical ones first; empty if all is well.

    `status` is the result of `Status.gather`. `samples` has the metrics of the last hours; the newest sample is recent.
    """
    found = [*current_problems(status), *recent_problems(status, samples)]
    return sorted(found, key=lambda problem: problem.level is not Level.CRITICAL)


def verdict(found: Sequence[Problem], status: Mapping[str, Any]) -> Verdict:
    """Return the level of the worst of the problems `found`, and a summary of all.

    Without problems, the level is `ok`, or `waiting` if no event has come from an org yet.
    """
    if found:
        return Verdict(found[0].level.value, _summed_up(found))
    silent = [
        name
        for name, org in status["okta"].items()
        if org["accepted_seconds_ago"] is None
        and not (org["log"] and org["log"]["complete_up_to_seconds_ago"] is not None)
    ]
    if silent and not status["stored"]:
        return Verdict("waiting", f"Waiting for the first event of {' and '.join(silent)}.")
    if silent:
        return Verdict("waiting", f"Since the start, nothing has come from {' and '.join(silent)} yet.")
    minutes = int(status["uptime_seconds"] // 60)
    if minutes < _REMEMBERED:
        since = f"{count(minutes, 'minute')} ago" if minutes else "less than a minute ago"
        return Verdict("ok", f"All is well since the start, {since}.")
    return Verdict("ok", "All is well.")


def _summed_up(found: Sequence[Problem]) -> str:
    events = [problem for problem in found if problem.runbook not in _ATTENTION | _REACTIONS]
    texts = []
    critical = {problem.runbook for problem in events if problem.level is Level.CRITICAL}
    if critical - _STORED:
        texts.append("Events are lost, or may be lost.")
    elif critical:
        texts.append("Events wait in the store, because a sink does not take them.")
    elif events:
        texts.append("Events are late or incomplete.")
    if any(problem.runbook in _REACTIONS for problem in found):
        texts.append("Reactions need a human.")
    if not texts and all(problem.runbook == _RELOAD for problem in found):
        return "The changed configuration is not in force."
    return " ".join(texts) or "Events arrive, but something needs attention."
