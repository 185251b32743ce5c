"""The health document: whole numbers beside the lists, and nothing that is not mapped."""

from typing import Any

from forwarder.ecs.health_document import health_document
from forwarder.setup.elasticsearch.data_streams import HEALTH
from tests.fakes.clock import NOON
from tests.fakes.status import org, sound_status


def made(**changes: Any) -> dict[str, Any]:
    return health_document(sound_status(**changes), NOON, "host-1", "prod")


def names(value: Any, path: str = "") -> set[str]:
    """The dotted name of every value."""
    if isinstance(value, list):
        return set().union(*(names(item, path) for item in value))
    if isinstance(value, dict):
        return set().union(*(names(inner, f"{path}.{key}" if path else key) for key, inner in value.items()))
    return {path}


def test_it_is_an_ecs_metric_document_of_its_data_stream() -> None:
    document = made()
    assert document["@timestamp"] == "2026-01-01T12:00:00.000Z"
    assert document["event"]["kind"] == "metric"
    assert document["event"]["dataset"] == "okta_forwarder.health"
    assert document["data_stream"] == {"type": "metrics", "dataset": "okta_forwarder.health", "namespace": "prod"}
    assert document["host"]["name"] == "host-1"
    assert document["service"]["version"] == "0.1.0"


def test_a_sound_forwarder_is_a_success() -> None:
    document = made()
    assert document["event"]["outcome"] == "success"
    assert (document["message"], document["okta_forwarder"]["health"]["verdict"]) == ("All is well.", "ok")


def test_the_worst_problem_is_the_message() -> None:
    found = [
        {"level": "critical", "text": "the ledger does not balance", "hint": "x"},
        {"level": "warning", "text": "events wait", "hint": "y"},
    ]
    document = made(problems=found, balanced=False)
    assert document["event"]["outcome"] == "failure"
    assert document["message"] == "the ledger does not balance"
    about = document["okta_forwarder"]["health"]
    assert about["verdict"] == "critical"
    assert about["problems"] == ["the ledger does not balance", "events wait"]
    assert about["balanced"] is False


def test_the_whole_is_summed_up_beside_the_single_orgs_and_sinks() -> None:
    orgs = {
        "acme": org(hook={"condition": "unverified"}, refused=3),
        "shop": org(log={"missed": 1, "complete_up_to_seconds_ago": 99.0}),
    }
    about = made(okta=orgs)["okta_forwarder"]["health"]
    assert (about["missed"], about["log_lag"], about["hooks_down"], about["refused"]) == (5, 99.0, 1, 3)
    assert (about["waiting"], about["dead"], about["sink_lag"], about["sinks_down"]) == (3, 4, 7.2, 1)
    assert about["states"] == [
        "hook of acme: unverified",
        "hook of shop: live",
        "sink siem: running",
        "sink archive: retrying",
    ]
    assert about["orgs"][0]["hook"] == {"state": "unverified"}


def test_an_org_without_the_api_has_no_hook_and_no_log() -> None:
    about = made()["okta_forwarder"]["health"]
    assert about["orgs"][1] == {"name": "shop", "refused": 0}


def test_every_field_is_mapped() -> None:
    problems = [{"level": "critical", "text": "x", "hint": "y"}]
    assert names(made(problems=problems)) <= set(HEALTH.types)
