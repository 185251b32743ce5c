from typing import Any

import pytest

from forwarder.health_verdict.problem import Level, Problem
from forwarder.health_verdict.refused import refused_level, refused_requests


def org(refused: int = 0, okta: int = 0, **other: Any) -> dict[str, Any]:
    return {
        "hook_configured": True,
        "path": "/okta/events",
        "accepted_seconds_ago": 5.0,
        "refused": refused,
        "okta_refused": okta,
        "refused_level": refused_level(refused, okta),
        "refused_from_okta": okta,
        "hook": {"condition": "live", "error": None},
        **other,
    }


def found(**orgs: dict[str, Any]) -> list[Problem]:
    return list(refused_requests(orgs))


def test_it_is_never_green_while_okta_is_refused() -> None:
    (problem,) = found(acme=org(13, okta=13, accepted_seconds_ago=None))
    assert (problem.level, problem.runbook) == (Level.CRITICAL, "ForwarderSecretRefused")
    assert problem.text == (
        "13 requests of Okta to acme had no valid secret (401) and none was accepted; Okta never sends these again"
    )
    assert "forwarder hooks sync --org acme --resend-secret" in problem.hint


def test_without_an_api_the_hook_is_changed_in_oktas_console() -> None:
    (problem,) = found(acme=org(1, okta=1, hook=None))
    assert "edit the hook in Okta's console, so that Okta sends one of `orgs.acme.secrets`" in problem.hint


@pytest.mark.parametrize("accepted_seconds_ago", [5.0, None])
@pytest.mark.parametrize(
    ("refused", "okta", "level"),
    [(1, 0, Level.WARNING), (2, 0, Level.WARNING), (3, 0, Level.CRITICAL), (1, 1, Level.CRITICAL)],
)
def test_a_stray_request_is_only_a_warning_and_one_of_okta_is_critical(
    accepted_seconds_ago: float | None, refused: int, okta: int, level: Level
) -> None:
    (problem,) = found(acme=org(refused, okta, accepted_seconds_ago=accepted_seconds_ago))
    assert problem.level is level
    assert ("none was accepted since" in problem.text) == (accepted_seconds_ago is not None)


def test_a_path_of_several_orgs_has_one_problem_with_the_orgs_that_may_be_meant() -> None:
    (problem,) = found(acme=org(), shop=org(3, okta=3), lab=org(1, okta=1), other=org(path="/other"))
    assert problem.level is Level.CRITICAL
    assert problem.text == (
        "3 requests of Okta to /okta/events had no valid secret (401) and none of shop, lab was accepted since; "
        "Okta never sends these again"
    )
    assert "`orgs.NAME.path`" in problem.hint


def test_an_org_without_a_hook_is_not_refused() -> None:
    assert found(acme=org(), polled=org(9, okta=9, hook_configured=False)) == []


def test_past_refusals_of_okta_need_a_second_hook_only_if_the_secret_was_not_just_corrected() -> None:
    (problem,) = found(acme=org(refused_from_okta=4))
    assert (problem.level, problem.runbook) == (Level.WARNING, "ForwarderAuthFailures")
    assert problem.text == (
        "Okta's requests to acme were refused (401) 4 times within the last hour; the latest was accepted"
    )
    assert problem.hint.startswith("if the secret was just corrected, do nothing; else ")
    (problem,) = found(acme=org(refused_from_okta=4), shop=org(refused_from_okta=4))
    assert problem.text == (
        "Okta's requests to /okta/events were refused (401) 4 times within the last hour; since then, requests of each "
        "of its orgs were accepted"
    )
