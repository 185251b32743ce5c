import json
import time
from typing import Any

import pytest

from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.sinks import response_verdicts
from forwarder.sinks.elasticsearch import bulk
from forwarder.sinks.response_verdicts import ResponseVerdict


def item(status: int, kind: str = "", reason: str = "", **more: Any) -> dict[str, Any]:
    error = {"error": {"type": kind, "reason": reason}} if kind else {}
    return {"create": {"status": status, **error, **more}}


def verdict_of(answered: Any) -> ResponseVerdict:
    found = bulk.items({"items": [answered]}, 1)
    assert found is not None
    return found[0][0]


def detail_of(answered: Any) -> str:
    found = bulk.items({"items": [answered]}, 1)
    assert found is not None
    return found[0][1]


def test_the_lines_are_an_action_with_the_uuid_as_id_and_the_document() -> None:
    action, document, rest = bulk.lines('a"b\\c\n\u2028ü', {"x": "line\nbreak", "y": [1, None]}).split(b"\n")
    assert json.loads(action) == {"create": {"_id": 'a"b\\c\n\u2028ü'}}
    assert json.loads(document) == {"x": "line\nbreak", "y": [1, None]}
    assert rest == b""


@pytest.mark.parametrize("uuid", ["x" * 512, "ü" * 256])
def test_an_id_of_512_bytes_stays_itself(uuid: str) -> None:
    assert bulk.document_id(uuid) == uuid


@pytest.mark.parametrize("uuid", ["x" * 513, "ü" * 257, "x" * 100_000])
def test_a_longer_id_becomes_the_same_short_digest_every_time(uuid: str) -> None:
    assert bulk.document_id(uuid) == bulk.document_id(uuid)
    assert bulk.document_id(uuid) != bulk.document_id(uuid + "y")
    assert len(bulk.document_id(uuid).encode()) <= 512


def test_one_uuid_of_two_orgs_makes_two_ids() -> None:
    for uuid in ("u", "x" * 600):
        ids = {bulk.document_id(uuid, org) for org in ("", "acme", "globex")}
        assert len(ids) == 3
        assert max(len(id_.encode()) for id_ in ids) <= 512
    assert bulk.document_id("u", "acme") == "acme:u"


@pytest.mark.parametrize("status", [200, 201])
def test_a_document_that_was_created_is_delivered(status: int) -> None:
    assert verdict_of(item(status)) == response_verdicts.DELIVERED


def _pressure(kind: str, size: int, limit: int, limited: str = "") -> str:
    """Elasticsearch's text about an operation for which there is no memory now. Version 8 limits coordinating and
    primary operations together."""
    used = "coordinating_and_primary_bytes=20000199, replica_bytes=0, all_bytes=20000199"
    limits = f"{kind}_operation_bytes={size}, max_{limited or kind}_bytes={limit}"
    return f"rejected execution of {kind} operation [{used}, {limits}]"


@pytest.mark.parametrize(
    ("events", "size", "wanted"),
    [
        (1, 80_000_188, response_verdicts.TOO_LARGE),
        (2, 80_000_188, response_verdicts.THROTTLED),  # the operation has documents of several items
        (1, 51_897_958, response_verdicts.THROTTLED),
        (1, 9, response_verdicts.THROTTLED),
    ],
)
def test_a_document_is_too_large_if_the_limit_of_the_server_is_below_its_own_size(
    events: int, size: int, wanted: ResponseVerdict
) -> None:
    busy = item(429, "es_rejected_execution_exception", _pressure("primary", size, 51_897_958))
    found = bulk.items({"items": [busy] * events}, events)
    assert found is not None
    assert {verdict for verdict, _ in found} == {wanted}


@pytest.mark.parametrize("limited", ["coordinating", "coordinating_and_primary"])
@pytest.mark.parametrize(
    ("events", "size", "wanted"),
    [
        (1, 60_000_199, response_verdicts.TOO_LARGE),
        (2, 60_000_199, response_verdicts.SPLIT_TOO_LARGE),
        (2, 51_897_958, response_verdicts.THROTTLED),
    ],
)
def test_a_request_is_too_large_if_the_limit_of_the_server_is_below_its_own_size(
    events: int, size: int, wanted: ResponseVerdict, limited: str
) -> None:
    reason = _pressure("coordinating", size, 51_897_958, limited)
    body = {"error": {"type": "es_rejected_execution_exception", "reason": reason}}
    assert bulk.request_error(429, body, events)[0] == wanted


@pytest.mark.parametrize("reason", ["a" * 3_000_000, "a_operation_bytes=" * 160_000, "_operation_bytes" * 180_000])
def test_a_long_reason_does_not_hold_the_event_loop(reason: str) -> None:
    began = time.process_time()
    assert bulk.request_error(429, {"error": {"reason": reason}}, 2)[0] == response_verdicts.THROTTLED
    assert time.process_time() - began < 2


def test_a_document_that_is_there_already_is_delivered() -> None:
    assert verdict_of(item(409, "version_conflict_engine_exception", "exists")) == response_verdicts.DELIVERED


def test_a_conflict_for_another_reason_is_no_delivery() -> None:
    assert verdict_of(item(409, "illegal_state_exception", "closing")) == response_verdicts.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("document_parsing_exception", "[1:42] failed to parse field [n] of type [long]"),
        ("illegal_argument_exception", "field [nope] doesn't exist"),
        ("script_exception", "runtime error"),
    ],
)
def test_a_document_that_does_not_fit_is_rejected_with_the_servers_text(kind: str, reason: str) -> None:
    assert verdict_of(item(400, kind, reason)).reject is RejectReason.MAPPING
    assert detail_of(item(400, kind, reason)) == f"{kind}: {reason}"


def test_a_pipeline_that_fails_on_purpose_rejects_although_it_says_500() -> None:
    answered = item(500, "fail_processor_exception", "no such event wanted")
    assert verdict_of(answered).reject is RejectReason.MAPPING


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("index_closed_exception", "closed"),
        ("validation_exception", "this action would add [1] shards, but this cluster has [1]/[1] open"),
        ("illegal_argument_exception", "pipeline with id [nope] does not exist"),
    ],
)
def test_a_400_caused_by_the_cluster_pauses_and_rejects_nothing(kind: str, reason: str) -> None:
    verdict = verdict_of(item(400, kind, reason))
    assert (verdict.reject, verdict.retry, verdict.pause) == (None, RetryReason.UNKNOWN, True)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "hint"),
    [
        (400, "index_closed_exception", "closed", "the index is closed; open it"),
        (400, "validation_exception", "would add [1] shards", "delete old indices"),
        (400, "illegal_argument_exception", "pipeline with id [x] does not exist", "forwarder setup elasticsearch"),
        (403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)];", "remove the block"),
        (429, "cluster_block_exception", "blocked by: [X/12/disk usage exceeded flood-stage watermark]", "free space"),
        (403, "security_exception", "current license is non-compliant for [security]", "license of Elasticsearch"),
        (403, "security_exception", "action [x] is unauthorized for API key id [y]", "the credentials may not write"),
    ],
)  # fmt: skip
def test_what_the_cluster_does_not_allow_is_named_with_what_to_do(
    status: int, kind: str, reason: str, hint: str
) -> None:
    said = detail_of(item(status, kind, reason))
    assert hint in said
    assert said.endswith(f"({kind}: {reason})")


def test_a_missing_template_pauses_and_says_what_to_run() -> None:
    answered = item(404, "index_not_found_exception", "no such index [logs-okta.system-default]")
    verdict = verdict_of(answered)
    assert (verdict.retry, verdict.pause) == (RetryReason.NOT_FOUND, True)
    assert "forwarder setup elasticsearch" in detail_of(answered)
    assert "no such index [logs-okta.system-default]" in detail_of(answered)


def test_a_plain_index_in_the_way_pauses_and_says_so() -> None:
    answered = item(404, "resource_not_found_exception", "[x] is not a data stream")
    assert verdict_of(answered).pause
    assert "has the name of the data stream" in detail_of(answered)


def test_a_document_in_the_failure_store_is_not_delivered() -> None:
    assert verdict_of(item(201, failure_store="used")).reject is RejectReason.FAILURE_STORE
    assert verdict_of(item(201, failure_store="not_applicable_or_unknown")) == response_verdicts.DELIVERED


@pytest.mark.parametrize(
    ("status", "reason", "pause"),
    [
        (429, RetryReason.THROTTLED, False),
        (503, RetryReason.SERVER, False),
        (403, RetryReason.FORBIDDEN, True),
        (401, RetryReason.UNAUTHORIZED, True),
    ],
)
def test_an_item_is_sent_again_as_the_table_says(status: int, reason: RetryReason, *, pause: bool) -> None:
    verdict = verdict_of(item(status, "some_exception", "words"))
    assert (verdict.retry, verdict.pause) == (reason, pause)


@pytest.mark.parametrize(
    "answer", [None, "text", [], {}, {"items": None}, {"items": [item(201)]}, {"items": [item(201)] * 3}]
)
def test_a_response_that_does_not_name_every_event_is_ignored(answer: Any) -> None:
    assert bulk.items(answer, 2) is None


@pytest.mark.parametrize(
    "answered", [None, {}, {"index": {"status": 201}}, {"create": {}}, {"create": {"status": "201"}}, {"create": 201}]
)
def test_an_item_without_a_status_is_sent_again(answered: Any) -> None:
    assert verdict_of(answered) == response_verdicts.UNKNOWN


@pytest.mark.long
@pytest.mark.parametrize("events", [1, 5])
@pytest.mark.parametrize("kind", ["media_type_header_exception", "illegal_argument_exception", "parse_exception", ""])
def test_a_400_for_the_whole_request_pauses_and_rejects_nothing(kind: str, events: int) -> None:
    verdict, _ = bulk.request_error(400, {"error": {"type": kind, "reason": "detail"}, "status": 400}, events)
    assert (verdict.reject, verdict.pause, verdict.split) == (None, True, False)


def test_a_proxys_400_pauses_and_rejects_nothing() -> None:
    verdict, detail = bulk.request_error(400, "<html>\n plain HTTP sent to an HTTPS port</html>", 1)
    assert (verdict.reject, verdict.pause) == (None, True)
    assert detail == "HTTP 400: <html> plain HTTP sent to an HTTPS port</html>"


def test_a_request_with_one_bad_action_is_halved_until_that_is_alone() -> None:
    body = {"error": {"type": "action_request_validation_exception", "reason": "id is too long"}}
    assert bulk.request_error(400, body, 2)[0].split
    assert bulk.request_error(400, body, 1)[0].reject is RejectReason.MALFORMED


def test_a_server_older_than_the_client_is_recognized() -> None:
    reason = "Accept version must be either version 8 or 7, but found 9"
    _, detail = bulk.request_error(400, {"error": {"type": "media_type_header_exception", "reason": reason}}, 3)
    assert "elasticsearch<9" in detail
    assert reason in detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"type": "security_exception", "reason": "no"}, "status": 401}, "HTTP 503: security_exception: no"),
        ({"error": "it broke", "status": 500}, "HTTP 503: it broke"),
        ({"ok": False}, "HTTP 503"),
        ("", "HTTP 503"),
        (None, "HTTP 503"),
        ("upstream\n  down", "HTTP 503: upstream down"),
    ],
)
def test_the_servers_text_is_kept_in_every_form(body: Any, words: str) -> None:
    verdict, kept = bulk.request_error(503, body, 1)
    assert verdict == response_verdicts.SERVER
    assert kept == words
