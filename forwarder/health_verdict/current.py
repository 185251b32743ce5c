"""Finds the problems that the current status shows. The module `recent` finds problems that show only over time."""

from collections.abc import Iterator, Mapping
from typing import Any

from forwarder.core.wording import agrees, count
from forwarder.health_verdict.problem import Level, Problem
from forwarder.health_verdict.refused import refused_requests
from forwarder.okta.hooks.watch import HINTS, Condition

_RECENT = 3600.0
"""For this number of seconds, a past failure is shown as a problem, such as a hook delivery that Okta gave up on. By
then, the forwarder has read the event from the System Log."""

BEHIND = 900.0
"""The number of seconds by which the reading of the System Log may be behind. If it is further behind, the System Log
does not replace a hook that is down. The alerts ForwarderHookDown and ForwarderReconcileBehind have the same limit."""

_CATCHING_UP = 60.0
"""For this number of seconds after a start, it is not a problem if the System Log and the sinks are behind."""

SINK_BEHIND = 300.0
"""The number of seconds that an event may wait for a sink that works. The alert ForwarderSinkBehind has the same
limit."""

SINK_DOWN = 3600.0
"""The number of seconds that an event may wait for a sink that fails, before the problem is critical. The critical alert
ForwarderSinkDown has the same limit."""

CERTIFICATE_SOON, CERTIFICATE_NOW = 14 * 86400.0, 2 * 86400.0
"""A certificate is a problem this number of seconds before it expires, and a critical problem from the second number
on. The alerts ForwarderCertificateExpiring have the same limits."""

CLOCK_SKEW = 5.0
"""The number of seconds by which the clocks of Okta and of this machine may differ. The alert ForwarderClockSkew has
the same limit. With a difference of a few seconds more, Okta refuses DPoP proofs."""

STORE_FULL = 0.8
"""The share of `store.max_size`, from 0 to 1, above which waiting events are a problem. The critical alert
ForwarderStoreFilling has the same limit."""

MIN_FREE_BYTES, MIN_FREE_SHARE = 1e9, 0.05


def current_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems that `status` shows. `status` is the result of `Status.gather`."""
    yield from _store_problems(status)
    yield from _room_problems(status)
    yield from refused_requests(status["okta"])
    for name, org in status["okta"].items():
        yield from _org_problems(name, org, status)
    for name, org in status["okta"].items():
        yield from _log_problems(name, org["log"], status)
    for name, sink in status["sinks"].items():
        yield from _sink_problems(name, sink, status["uptime_seconds"])
    yield from _malformed_events(status)
    yield from _removed_sinks(status)
    yield from _refused_reload(status)
    yield from _certificate_problems(status)
    yield from _rule_problems(status)
    yield from _reaction_problems(status)


def _store_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    if not status["ready"]:
        reason = status["not_ready_reason"]
        hint = "fix the cause; polling then fetches the refused events from the System Log"
        if not all(org["api"] for org in status["okta"].values()):
            hint = (
                "fix the cause; then fetch the refused events with `forwarder backfill`, which needs `orgs.NAME.api`: "
                "Okta sends each event at most twice"
            )
        yield Problem(Level.CRITICAL, f"Okta's events cannot be stored: {reason}", hint, "ForwarderRefusesEvents")
    if status["store_unreadable_reason"] is not None and status["ready"]:
        hint = "the numbers of the store on this page are old; stop the forwarder, copy the store's files, then repair or replace them"
        text = f"the store cannot be read: {status['store_unreadable_reason']}"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderNotReady")
    if not status["balanced"]:
        hint = "keep a copy of the store file and report this as a bug"
        text = "the ledger does not balance: the counts of a sink do not add up to the stored events"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderLedgerUnbalanced")


def is_nearly_full(total: float, free: float) -> bool:
    """Whether a disk has too little free space, by the limits of the critical alert ForwarderDiskFilling.

    `total` and `free` are in bytes.
    """
    return free < MIN_FREE_BYTES or free < MIN_FREE_SHARE * total


def _room_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem if the store or its disk is nearly full.

    Yield nothing if the forwarder already refuses events, because `_store_problems` reports this problem.
    """
    if not status["ready"]:
        return
    waiting, limit = status.get("store_waiting_bytes", 0), status.get("store_max_bytes", 0)
    if waiting > STORE_FULL * limit:
        text = f"events that wait for a sink fill {waiting / limit:.0%} of the store".replace("%", " %")
        hint = (
            "repair the sink, or raise `store.max_size` and restart; when the store is full, Okta's events are refused"
        )
        yield Problem(Level.CRITICAL, text, hint, "ForwarderStoreFilling")
    free, total = status.get("store_disk_free_bytes", 0), status.get("store_disk_bytes", 0)
    if total and is_nearly_full(total, free):
        text = f"the disk of the store has only {free / 1e9:,.1f} GB left ({free / total:.0%})".replace("%", " %")
        hint = "free space on this disk; when it is full, Okta's events are refused"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderDiskFilling")


def _malformed_events(status: Mapping[str, Any]) -> Iterator[Problem]:
    if number := status.get("receiver_dead"):
        text = f"{count(number, 'malformed event')} came from Okta; dead letters keep {agrees(number, 'it', 'them')}"
        hint = "see them with `forwarder dead-letters list --sink receiver`, then replay or discard them"
        yield Problem(Level.WARNING, text, hint, "ForwarderDeadLettersWaiting")


def _removed_sinks(status: Mapping[str, Any]) -> Iterator[Problem]:
    for name, events in status.get("removed_sinks", {}).items():
        wait = agrees(events, "waits", "wait")
        text = f"{count(events, 'event')} {wait} for {name}, which is no longer configured"
        hint = f"add a sink with this name to the configuration, or run `forwarder forget-sink {name}`"
        yield Problem(Level.WARNING, text, hint, "ForwarderStoreFilling")


def _refused_reload(status: Mapping[str, Any]) -> Iterator[Problem]:
    if reason := status.get("reload_failed_reason"):
        text = f"the last reload was refused, and the old configuration stays in force: {reason}"
        yield Problem(
            Level.WARNING, text, "run `forwarder check`, and correct the configuration", "ForwarderConfigReloadFailed"
        )


def _certificate_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    for setting, left in status.get("certificates", {}).items():
        if left < CERTIFICATE_SOON:
            left_text = count(int(left // 3600), "hour") if left < CERTIFICATE_NOW else count(int(left // 86400), "day")
            text = f"the certificate in {setting} {f'expires in {left_text}' if left > 0 else 'has expired'}"
            hint = "renew the file in place: the forwarder reads it again within seconds; then run `forwarder check`"
            level = Level.CRITICAL if left < CERTIFICATE_NOW else Level.WARNING
            yield Problem(level, text, hint, "ForwarderCertificateExpiring")


def _rule_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    rules = status.get("rules")
    if rules and rules["failed_seconds_ago"] is not None and rules["failed_seconds_ago"] < _RECENT:
        text = f"the rules skipped {count(rules['failures'], 'event')} that they cannot evaluate"
        hint = "see `rule_failed` in the log, and report it as a bug; sinks get these events all the same"
        yield Problem(Level.WARNING, text, hint, "Rules")


def _reaction_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    reactions = status.get("reactions")
    if not reactions:
        return
    if overdue := reactions["overdue_undos"]:
        verb = agrees(overdue, "is", "are")
        text = f"{count(overdue, 'effect')} of reactions should have ended and {verb} still there"
        if reason := next((each["detail"] for each in reactions["live"] if each["detail"]), ""):
            text = f"{text}: {reason}"
        hint = "see why with `forwarder reactions list --live` and `show ID`; the forwarder keeps trying"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderUndoOverdue")
    if waiting := reactions["waiting_approvals"]:
        text = f"{count(waiting, 'action')} {agrees(waiting, 'waits', 'wait')} for approval"
        hint = (
            "decide on the status page, or with `forwarder reactions list --waiting` and `approve ID` or `refuse ID`; "
            "without a decision in time, an action is refused"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderApprovalsWaiting")
    if pauses := reactions["pauses"]:
        text = f"{pauses[0]['text']}, because {pauses[0]['why']}"
        if others := reactions["paused"] - 1:
            text += f"; and {count(others, 'other pause')}"
        hint = "`forwarder reactions resume` ends every pause; actions refused during a pause are not done later"
        yield Problem(Level.WARNING, text, hint, "ForwarderReactionsPaused")
    for finding in reactions.get("findings", ()):
        yield Problem(Level.WARNING, finding["text"], finding["hint"], finding["runbook"])


def _org_problems(name: str, org: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Problem]:
    hook, log = org["hook"], org["log"]
    if hook and hook["condition"] in HINTS:
        text = f"Okta sends nothing to the hook of {name}: it is {hook['condition']}"
        if hook["condition"] == Condition.REDIRECTED.value:
            text = (
                f"the hook of {name} has another address than `hook.uri`, so its events do not come to this forwarder"
            )
        level = Level.WARNING
        if log and is_log_behind(log, status):
            text, level = (
                f"{text}, and the System Log, which should replace the hook, is not read in time",
                Level.CRITICAL,
            )
        yield Problem(level, text, HINTS[hook["condition"]].format(org=name), "ForwarderHookDown")
    elif hook and hook["error"]:
        yield Problem(Level.WARNING, f"the hook of {name} cannot be checked", hook["error"], "Okta API")
    if log and (differing := log.get("differing")):
        text = f"the hook of {name} delivered {count(differing, 'event')} that differ from the System Log: forged or edited"
        hint = f"give the hook a new secret (docs/hooks.md); `events_differ` in the log names them, `forwarder find UUID --org {name}` shows one"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderEventsDiffer")
    failed_ago = org["hook_failed_seconds_ago"]
    if failed_ago is not None and failed_ago < _RECENT:
        deliveries = f"{org['hook_failures']:,} {agrees(org['hook_failures'], 'delivery', 'deliveries')}"
        text = f"Okta gave up on {deliveries} to the hook of {name}: {org['hook_failure_reason']}"
        hint = "their events were read from the System Log; `forwarder gaps` lists them"
        yield Problem(Level.WARNING, text, hint, "ForwarderEventsMissed")


def _behind(log: Mapping[str, Any], status: Mapping[str, Any]) -> float:
    """Return by how many seconds the store is behind the System Log. If no page was read yet, return the seconds since
    the start."""
    behind: float | None = log.get("complete_up_to_seconds_ago")
    return status["uptime_seconds"] if behind is None else behind


def is_log_behind(log: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether the store is further behind the System Log than `BEHIND` seconds.

    In the first minute after a start, return True only if the System Log cannot be read, because the forwarder may
    still be catching up.
    """
    return _behind(log, status) > BEHIND and bool(log["error"] or status["uptime_seconds"] > _CATCHING_UP)


def _log_problems(name: str, log: Mapping[str, Any] | None, status: Mapping[str, Any]) -> Iterator[Problem]:
    if not log:
        return
    if log["error"]:
        text = f"the System Log of {name} cannot be read"
        yield Problem(Level.WARNING, text, log["error"], "ForwarderReconcileBehind")
    elif is_log_behind(log, status):
        text = f"the System Log of {name} was read only up to {_behind(log, status) / 60:,.0f} minutes ago"
        hint = (
            "after a pause, wait until polling has caught up; otherwise, find the clients that use up Okta's rate limit "
            "(`forwarder doctor okta.log`), or raise `reconcile.rate_share`"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderReconcileBehind")


def _sink_problems(name: str, sink: Mapping[str, Any], uptime: float) -> Iterator[Problem]:
    oldest = sink.get("oldest_waiting_seconds", 0)
    if set_aside := sink.get("set_aside"):
        events = f"{count(set_aside, 'event')} {agrees(set_aside, 'fails', 'fail')}"
        text = f"{events} again and again, while {name} accepts others"
        hint = f"see `event_set_aside` in the log: {sink['last_error']}"
        yield Problem(Level.WARNING, text, hint, "ForwarderSinkDown")
    if sink.get("warning"):
        text = f"{name} accepts events, but has a problem"
        yield Problem(Level.WARNING, text, sink["warning"], "Elasticsearch")
    if sink["state"] not in ("running", "idle"):
        text = f"events wait in the store, because {name} is {sink['state']}"
        is_paused = sink["state"] == "paused"
        section = "ForwarderSinkPaused" if is_paused else "ForwarderSinkDown"
        level = Level.CRITICAL if is_paused or oldest > SINK_DOWN else Level.WARNING
        if advice := sink.get("hint"):
            yield Problem(level, f"{text}: {sink['last_error']}", advice, section)
        else:
            yield Problem(level, text, sink["last_error"] or "wait for its next try", section)
    elif not set_aside and oldest > SINK_BEHIND and uptime > _CATCHING_UP:
        text = f"{name} accepts events, but the oldest one that waits for it came {oldest / 60:,.0f} minutes ago"
        hint = (
            "after a failure, wait until the waiting events are delivered; otherwise the sink is too slow: give its server "
            "more capacity, or raise the sink's `delivery` limits"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderSinkBehind")
    if dead := sink.get("dead"):
        text = f"{name} rejected {count(dead, 'event')}; dead letters keep them"
        hint = (
            f"see why with `forwarder dead-letters list --sink {name}`, correct the cause, then replay or discard them"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderDeadLetters")
