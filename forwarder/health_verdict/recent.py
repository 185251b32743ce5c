"""Finds the problems that show only over time: a counter that increased, or a state that lasts.

Each problem belongs to an alert in config/prometheus/forwarder.rules.yml, and has the limits of the alert. A test
compares this module with that file. Times are in seconds. A name such as `CALLS` is the period over which a counter is
read. A name that ends in `_FOR` is the time for which a condition must hold, like `for` in the alert. A problem without
a `_FOR` time is shown as long as its alert fires: for the range of the alert's expression, plus the alert's
`keep_firing_for`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from statistics import linear_regression
from typing import Any

from forwarder.core.wording import agrees, count
from forwarder.health_verdict.current import CLOCK_SKEW, SINK_BEHIND, is_log_behind
from forwarder.health_verdict.problem import Level, Problem
from forwarder.health_verdict.samples import Samples
from forwarder.okta.hooks.watch import HINTS

_MINUTE, _HOUR = 60.0, 3600.0

REFUSED = 10 * _MINUTE
UNREADABLE = 30 * _MINUTE
UNKNOWN_PATH = 30 * _MINUTE
QUOTA = 2 * _HOUR
ACTIONS = 30 * _MINUTE
"""The number of seconds for which actions are a problem that failed, or whose outcome is unknown."""
UNCONFIRMED = _HOUR

ANSWERS, ANSWERS_FOR, SLOW_SHARE = 10 * _MINUTE, 10 * _MINUTE, 0.01
"""Answers are slow if more than `SLOW_SHARE` of them take more than a second."""

GUESSES, GUESSES_FOR, MOST_GUESSES = 10 * _MINUTE, 10 * _MINUTE, 20
FAILURES, SUCCESSES = "none|401|403|404|5..", "2.."
"""Regular expressions for status codes of failed and of successful calls. The code `none` means no response."""

CALLS, FAILING_FOR, LIMITED_FOR = 15 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE
FORBIDDEN = _HOUR
CLOCK_FOR = _MINUTE
"""The clock is a problem if no response of Okta in this time shows a right clock: the response to one slow request can
look like a wrong clock."""

SILENT, SILENT_FOR = 6 * _HOUR, 30 * _MINUTE
MISSED, MISSED_FOR, MISSED_SHARE = _HOUR, 10 * _MINUTE, 0.01
LATE_RANGES, LATE_FOR, LATE_SHARE, MIN_EVENTS = (30 * _MINUTE, 6 * _HOUR), 15 * _MINUTE, 6 * 0.01, 100
"""Deliveries are late if, in each of `LATE_RANGES`, more than `LATE_SHARE` of the events came later than a minute."""

FILLING_FOR, HALF_FULL = 15 * _MINUTE, 0.5
FILLING = (
    (30 * _MINUTE, 4 * _HOUR, 0.0, "4 hours", Level.CRITICAL),
    (_HOUR, 24 * _HOUR, HALF_FULL, "a day", Level.WARNING),
)
"""Predictions that the store will be full. Each has the past period of the trend, the time ahead, the share of the
store that must already be in use (0 to 1), the time ahead as text, and the level of the problem."""

RETRIED_FOR = 10 * _MINUTE

_WATCHED = ("/api/v1/logs", "/api/v1/eventHooks")


def recent_problems(status: Mapping[str, Any], samples: Samples) -> Iterator[Problem]:
    """Yield the problems that `samples` show. Leave out problems that the current state in `status` already shows."""
    for name in (*status["okta"], ""):
        if status["ready"]:
            yield from _refused_events(name, samples)
    for name, org in status["okta"].items():
        yield from _request_problems(name, samples)
        yield from _hook_problems(name, org, samples, status)
        yield from _api_problems(name, org, samples)
        yield from _wrong_clock(name, samples)
    yield from _unknown_paths(samples)
    yield from _guesses(status["okta"], samples)
    for name, sink in status["sinks"].items():
        if sink["state"] in ("running", "idle") and sink.get("oldest_waiting_seconds", 0) <= SINK_BEHIND:
            yield from _late_deliveries(name, samples)
    if status["ready"]:
        yield from _filling_store(status, samples)
    yield from _reaction_problems(samples)


def _refused_events(name: str, samples: Samples) -> Iterator[Problem]:
    if refused := round(samples.increase(("hook_requests", name, "503"), REFUSED)):
        to = f"{count(refused, 'request')} to {name or 'a path of several orgs'}"
        text = f"{to} could not be stored within the last 10 minutes (503); Okta sends each only once more"
        hint = "see `store_refused` and `request_failed` in the log; `forwarder gaps` lists events that did not come"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderRefusesEvents")


def _request_problems(name: str, samples: Samples) -> Iterator[Problem]:
    codes = ("400", "413", "415")
    unreadable = round(sum(samples.increase(("hook_requests", name, code), UNREADABLE) for code in codes))
    if unreadable:
        text = (
            f"{count(unreadable, 'request')} with the secret of {name} could not be read within the last 30 minutes "
            "(400, 413 or 415); Okta never sends these again"
        )
        hint = (
            "see `hook_refused` in the log: for 413 raise `receiver.max_body`, else find the sender; "
            "`forwarder backfill --since 2h` fetches the events"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderUnreadableRequests")

    def are_slow(ended: float) -> bool:
        total, quick = (samples.increase(("ack_duration", name, le), ANSWERS, ended) for le in ("+Inf", "1.0"))
        return total - quick > SLOW_SHARE * total

    if _holds(are_slow, ANSWERS_FOR, ANSWERS):
        text = f"more than one in a hundred answers to Okta's requests to {name} take longer than a second"
        hint = (
            "after 3 s Okta gives up; look for slow commits to the disk (`forwarder doctor store`), or too little CPU"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderAnswersSlowly")


def _unknown_paths(samples: Samples) -> Iterator[Problem]:
    if unknown := round(samples.increase(("unknown_path_requests", "okta"), UNKNOWN_PATH)):
        text = (
            f"within the last 30 minutes, {count(unknown, 'request')} of Okta came to a path that no org has (404); "
            "Okta never sends these again"
        )
        hint = "see `path_refused` in the log for the path; correct `orgs.NAME.path`, the hook's address in Okta, or the proxy"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderPathUnknown")


def _guesses(orgs: Mapping[str, Any], samples: Samples) -> Iterator[Problem]:
    """Yield a problem of each org to which many requests had no valid secret.

    Such requests to a path of several orgs are counted for the org with the empty name. If they are a problem of one of
    these orgs, `refused_requests` reports it.
    """
    paths = Counter(org.get("path") for org in orgs.values())
    for name in (*orgs, ""):
        named = [orgs[name]] if name else [org for org in orgs.values() if paths[org.get("path")] > 1]
        if any(org["refused"] or org.get("refused_from_okta") for org in named):
            continue
        key = ("auth_failures", name)
        if _holds(lambda ended, key=key: samples.increase(key, GUESSES, ended) > MOST_GUESSES, GUESSES_FOR, GUESSES):  # type: ignore[misc]
            requests = f"{round(samples.increase(key, GUESSES)):,} requests to {name or 'a path of several orgs'}"
            text = f"{requests} had no valid secret (401) within the last 10 minutes, while others were accepted"
            hint = (
                "see `secret_refused` in the log: either a hook sends an old secret (`forwarder hooks list`), or a "
                "stranger guesses; let the proxy in front accept only Okta's addresses"
            )
            yield Problem(Level.WARNING, text, hint, "ForwarderAuthFailures")


def _hook_problems(name: str, org: Mapping[str, Any], samples: Samples, status: Mapping[str, Any]) -> Iterator[Problem]:
    if samples.increase(("hook_quota_warnings", name), QUOTA):
        text = f"the daily quota of hook deliveries of {name} is nearly or completely used up"
        text += f": {org['hook_quota']}" if org["hook_quota"] else ""
        hint = (
            "subscribe to fewer event types (`hook.events: security`, then `forwarder hooks sync`), or ask Okta for more; "
            "without quota, the events are read from the System Log, later"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderHookQuota")
    if org["refused_level"] == Level.CRITICAL.value or (org["hook"] and org["hook"]["condition"] in HINTS):
        return
    missed = round(samples.increase(("events_missed", name), MISSED))

    def are_missed(ended: float) -> bool:
        lost = samples.increase(("events_missed", name), MISSED, ended)
        return lost > MISSED_SHARE * (lost + samples.increase(("events_received", name, "hook"), MISSED, ended))

    failed_ago = org["hook_failed_seconds_ago"]
    if _holds(are_missed, MISSED_FOR, MISSED_FOR) and not (failed_ago is not None and failed_ago < MISSED):
        text = f"the hook of {name} did not deliver {count(missed, 'event')} within the last hour"
        hint = "they were read from the System Log, later; `forwarder gaps` lists them"
        yield Problem(Level.WARNING, text, hint, "ForwarderEventsMissed")
    if not (org["log"] and is_log_behind(org["log"], status)) and _is_silent(name, samples):
        text = f"no event of {name} has come for more than 6 hours"
        hint = "the org may be quiet: sign in once as a test; if no event comes, look at the hook in Okta's console"
        yield Problem(Level.WARNING, text, hint, "ForwarderNoEvents")


def _is_silent(name: str, samples: Samples) -> bool:
    """Whether no event of the org `name` has come in the last `SILENT + SILENT_FOR` seconds.

    Also return False if the forwarder began to count events of the org only within this time.
    """
    sources = [labels for labels in samples.labels("events_received") if labels[0] == name]
    keys = [("events_received", *labels) for labels in sources]
    known = [samples.value(key, SILENT + SILENT_FOR) for key in keys]
    return any(value is not None for value in known) and not any(
        samples.increase(key, SILENT + SILENT_FOR) for key in keys
    )


def _api_problems(name: str, org: Mapping[str, Any], samples: Samples) -> Iterator[Problem]:
    codes: dict[str, list[str]] = {}  # by call
    for owner, call, code in sorted(samples.labels("okta_requests")):
        if owner == name:
            codes.setdefault(call, []).append(code)

    def answers(call: str, pattern: str, seconds: float = CALLS, ended: float = 0.0) -> bool:
        keys = (("okta_requests", name, call, code) for code in codes[call] if re.fullmatch(pattern, code))
        return any(samples.increase(key, seconds, ended) for key in keys)

    def is_forbidden(call: str) -> bool:
        is_watched = any(path in call for path in _WATCHED)
        return not is_watched and answers(call, "403", FORBIDDEN) and not answers(call, SUCCESSES)

    def is_failing(call: str) -> bool:
        def fails(ended: float) -> bool:
            return answers(call, FAILURES, CALLS, ended) and not answers(call, SUCCESSES, CALLS, ended)

        is_shown = is_forbidden(call) or _is_reported(call, org)
        return not is_shown and _holds(fails, FAILING_FOR, FAILING_FOR)

    if calls := ", ".join(filter(is_forbidden, codes)):
        text = f"Okta forbids calls of {name} that reactions need (403): {calls}"
        hint = "run `forwarder reactions check`, which names the missing scope or admin role"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderRoleLost")
    if calls := ", ".join(filter(is_failing, codes)):
        text = f"all of these calls to Okta's API fail for {name}: {calls}"
        hint = "run `forwarder doctor okta`, then renew the credentials, or grant the scope or role that is missing"
        yield Problem(Level.WARNING, text, hint, "ForwarderOktaApiFailing")
    limited = [
        call
        for call in codes
        if _holds(lambda ended, call=call: answers(call, "429", CALLS, ended), LIMITED_FOR, CALLS)  # type: ignore[misc]
    ]
    if limited:
        text = f"Okta's rate limit of {name} is used up again and again (429): {', '.join(limited)}"
        hint = (
            "find the client that uses it up (in Okta: Reports > Rate limits), or lower `reconcile.rate_share`; "
            "while `forwarder backfill` runs, wait for its end"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderOktaRateLimited")


def _wrong_clock(name: str, samples: Samples) -> Iterator[Problem]:
    """Yield a problem if all responses of Okta's API in the last minute show that this machine's clock is wrong.

    Responses that refuse a token because of the wrong clock count too.
    """
    ahead = [offset for _, offset in samples.points(("clock_offset", name), CLOCK_FOR)]
    if ahead and all(abs(offset) > CLOCK_SKEW for offset in ahead):
        text = f"this machine's clock is {abs(ahead[-1]):,.0f} s {'ahead of' if ahead[-1] > 0 else 'behind'} Okta's"
        hint = "synchronize the clock (`timedatectl set-ntp true`), then run `forwarder doctor okta.clock`"
        yield Problem(Level.WARNING, text, hint, "ForwarderClockSkew")


def _is_reported(operation: str, org: Mapping[str, Any]) -> bool:
    """Whether another problem, of the System Log or of the hook, already reports that the calls `operation` fail."""
    log, hook = org["log"], org["hook"]
    if "/api/v1/logs" in operation:
        return bool(log and log["error"])
    return "/api/v1/eventHooks" in operation and bool(hook and (hook["error"] or hook["condition"] in HINTS))


def _late_deliveries(name: str, samples: Samples) -> Iterator[Problem]:
    def share(seconds: float, ended: float = 0.0) -> float:
        total, quick = (samples.increase(("delivery_lag", name, le), seconds, ended) for le in ("+Inf", "60.0"))
        return 1 - quick / total if total else 0.0

    def are_late(ended: float) -> bool:
        events = samples.increase(("delivery_lag", name, "+Inf"), max(LATE_RANGES), ended)
        return events > MIN_EVENTS and all(share(seconds, ended) > LATE_SHARE for seconds in LATE_RANGES)

    if _holds(are_late, LATE_FOR, LATE_FOR):
        late = f"{share(max(LATE_RANGES)):.0%}".replace("%", " %")
        text = f"{late} of the events of the last 6 hours reached {name} more than a minute after they happened"
        hint = (
            "after a failure or a backfill, wait; otherwise Okta delivers late (`forwarder_receive_lag_seconds`), or the "
            "sink is slow"
        )
        yield Problem(Level.WARNING, text, hint, "ForwarderFreshnessBudgetBurn")


def _filling_store(status: Mapping[str, Any], samples: Samples) -> Iterator[Problem]:
    key = ("store_waiting_bytes",)
    limit: float = status.get("store_max_bytes", 0)

    def predicted(seconds: float, ahead: float, ended: float) -> float:
        points = samples.points(key, seconds, ended)
        if len(points) < 2:
            return 0.0
        slope, at_newest = linear_regression(*zip(*points, strict=True))
        return slope * (ahead - ended) + at_newest

    for seconds, ahead, min_share, within, level in FILLING:

        def fills(ended: float, seconds: float = seconds, ahead: float = ahead, min_share: float = min_share) -> bool:
            is_full_enough = (samples.value(key, ended) or 0.0) > min_share * limit
            return is_full_enough and predicted(seconds, ahead, ended) > limit

        if limit and _holds(fills, FILLING_FOR, FILLING_FOR):
            text = f"at the present rate, events that wait for a sink fill the store within {within}"
            hint = "repair the sink, or raise `store.max_size` and restart; when the store is full, Okta's events are refused"
            yield Problem(level, text, hint, "ForwarderStoreFilling")
            return


def _reaction_problems(samples: Samples) -> Iterator[Problem]:
    see = "see `forwarder reactions list --since 1h` and `forwarder reactions show ID`"
    if failed := _actions(samples, "failed"):
        text = f"{count(failed, 'action')} failed within the last 30 minutes; {agrees(failed, 'it is', 'they are')} not tried again"
        hint = f"{see}; if a user still needs the action, do it by hand in Okta"
        yield Problem(Level.WARNING, text, hint, "ForwarderActionsFailed")
    if unknown := _actions(samples, "unknown"):
        text = (
            f"{count(unknown, 'prompt')} of the last 30 minutes may not have reached the user; no prompt is sent again"
        )
        yield Problem(Level.WARNING, text, f"{see}, and call the user", "ForwarderActionUnknown")
    if unconfirmed := round(samples.increase(("reactions_refused", "unconfirmed"), UNCONFIRMED)):
        text = (
            f"{count(unconfirmed, 'action')} of the last hour {agrees(unconfirmed, 'was', 'were')} refused, because the System "
            "Log did not show the events: forged, or the System Log is read late"
        )
        hint = f"{see}; unless the System Log is read late, give the hook a new secret (docs/hooks.md)"
        yield Problem(Level.CRITICAL, text, hint, "ForwarderEventsUnconfirmed")
    key = ("reactions_waiting_retry",)
    if samples.value(key, RETRIED_FOR) and all(waiting for _, waiting in samples.points(key, RETRIED_FOR)):
        waiting = round(samples.value(key) or 0)
        text = f"{count(waiting, 'action')} {agrees(waiting, 'waits', 'wait')} for another try"
        hint = "see the last answer with `forwarder reactions list --waiting` and `forwarder reactions show ID`"
        yield Problem(Level.WARNING, text, hint, "ForwarderReactionsNotDelivered")


def _actions(samples: Samples, outcome: str) -> int:
    keys = [("reactions", *labels) for labels in samples.labels("reactions") if labels[1] == outcome]
    return round(sum(samples.increase(key, ACTIONS) for key in keys))


def _holds(condition: Callable[[float], bool], seconds: float, step: float) -> bool:
    """Whether `condition` holds now and at every earlier step, back to `seconds` ago, like the `for` of an alert.

    `condition` gets a number of seconds ago. `step` is the number of seconds between two calls of it.
    """
    return all(condition(step * number) for number in range(round(seconds / step) + 1))
