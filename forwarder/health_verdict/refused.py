"""Finds the problems that requests without a valid secret show."""

from collections.abc import Iterator, Mapping
from typing import Any

from forwarder.core.wording import count, listed
from forwarder.health_verdict.problem import Level, Problem

MOST_STRAYS = 2
"""So many POSTs without a valid secret are only a warning, if none has Okta's user agent: a stranger may have sent them.
More may be Okta's, behind a proxy that changes the user agent. The alert ForwarderSecretRefused has the same limit."""

_NAMED = 3  # orgs in a text


def refused_level(refused: int, okta_refused: int) -> str | None:
    """Return how severe it is that requests were refused, as the value of a `Level`; None if none was refused.

    `refused` is the number of requests without a valid secret since the last one with the org's secret. `okta_refused`
    is the number of those with Okta's user agent.
    """
    if not refused:
        return None
    return (Level.CRITICAL if okta_refused or refused > MOST_STRAYS else Level.WARNING).value


def refused_requests(orgs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield at most one problem for each path of a hook. `orgs` is the key `okta` of the status.

    Without a valid secret, it is not known to which of the orgs that share a path a request belongs.
    """
    paths: dict[str, dict[str, Any]] = {}
    for name, org in orgs.items():
        if org["hook_configured"]:
            paths.setdefault(org["path"], {})[name] = org
    for path, sharing in paths.items():
        if suspects := {name: org for name, org in sharing.items() if org["refused"]}:
            yield _refused_now(path, suspects, is_shared=len(sharing) > 1)
        elif from_okta := max(org["refused_from_okta"] for org in sharing.values()):
            yield _refused_before(path, sharing, from_okta)


def _refused_now(path: str, suspects: Mapping[str, Any], *, is_shared: bool) -> Problem:
    """Return the problem that requests to `path` were refused, and that none of the orgs `suspects` was accepted since
    then."""
    org: Mapping[str, Any] = max(suspects.values(), key=lambda org: (org["okta_refused"], org["refused"]))
    is_okta = org["okta_refused"]
    requests = f"{count(is_okta, 'request')} of Okta" if is_okta else count(org["refused"], "request")
    names = listed(list(suspects), _NAMED)
    accepted = "none was" if not is_shared else f"none of {names} was"
    since = "" if all(each["accepted_seconds_ago"] is None for each in suspects.values()) else " since"
    text = f"{requests} to {path if is_shared else names} had no valid secret (401) and {accepted} accepted{since}; Okta never sends these again"
    name = "NAME" if is_shared else names
    change = "edit the hook in Okta's console"
    if any(each["hook"] for each in suspects.values()):
        change = f"run `forwarder hooks sync --org {name} --resend-secret`"
    hint = (
        f"{change}, so that Okta sends one of `orgs.{name}.secrets`; "
        "if Okta was not the sender, see `secret_refused` in the log"
    )
    if is_shared:
        hint += "; give each org a path of its own (`orgs.NAME.path`) to see whose requests these are"
    return Problem(Level(org["refused_level"]), text, hint, "ForwarderSecretRefused")


def _refused_before(path: str, sharing: Mapping[str, Any], refused: int) -> Problem:
    is_shared = len(sharing) > 1
    name = "NAME" if is_shared else next(iter(sharing))
    to, accepted = name, "the latest was accepted"
    if is_shared:
        to, accepted = path, "since then, requests of each of its orgs were accepted"
    text = f"Okta's requests to {to} were refused (401) {count(refused, 'time')} within the last hour; {accepted}"
    hint = (
        "if the secret was just corrected, do nothing; else look for a second hook in Okta that sends an old secret: "
        f"see `orgs.{name}.secrets`, and `secret_refused` in the log"
    )
    return Problem(Level.WARNING, text, hint, "ForwarderAuthFailures")
