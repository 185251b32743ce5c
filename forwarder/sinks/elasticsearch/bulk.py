"""Elasticsearch's `_bulk`: the lines that it takes, and what its answer means for each event.

An answer of 400 may be the document's fault or the cluster's. The first is a dead letter. The second comes to
every event alike and goes away when an operator has acted, so it pauses the sink; these were met on Elasticsearch 9.4:

    one item   index_closed_exception                     someone closed the index
               validation_exception                       no room for another shard
               illegal_argument_exception, "pipeline with id [...] does not exist"
    request    everything but action_request_validation_exception: a document is not looked at before its own
               item, so a request is refused for its address, its parameters or its media type
"""

import hashlib
from typing import Any

import msgspec

from forwarder.core.outcome import RejectReason
from forwarder.sinks import outcomes
from forwarder.sinks.outcomes import Verdict

FILTER = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store"
"""What of the answer is worth its bytes. A 201 with `failure_store` is the one that looks delivered and is not."""

ID_LIMIT = 512
"""Bytes of an `_id`. Elasticsearch refuses the whole request for a longer one, with its neighbours."""

SETUP = "run `forwarder setup elasticsearch`"

_FAILURE_STORE = Verdict(reject=RejectReason.FAILURE_STORE)
_OPERATOR_MUST_ACT = {"index_closed_exception", "validation_exception"}
_HINTS = {
    "index_not_found_exception": f"no index template makes this data stream; {SETUP}",
    "media_type_header_exception": "this Elasticsearch is older than the client library;"
    " install the one of its own major version: pip install 'elasticsearch<9'",
    "resource_not_found_exception": "an index or alias stands where the data stream belongs;"
    f" remove or rename it, then {SETUP}",
}
_encode = msgspec.json.Encoder().encode


def document_id(uuid: str) -> str:
    """The `_id` of the event `uuid`: the uuid itself, or a digest of one that Elasticsearch would not take.

    It is the same for every copy of the event, which is what makes sending it twice harmless.
    """
    data = uuid.encode()
    return uuid if len(data) <= ID_LIMIT else f"sha256-{hashlib.sha256(data).hexdigest()}"


def lines(uuid: str, document: dict[str, Any]) -> bytes:
    """The two lines that create `document`, unless one with the same id is there."""
    return b'{"create":{"_id":%b}}\n%b\n' % (_encode(document_id(uuid)), _encode(document))


def items(answer: Any, events: int) -> list[tuple[Verdict, str]] | None:
    """What the body of a 2xx answer means, and its words, for each event in the order sent.

    Args:
        answer: the decoded body.
        events: how many were sent.

    Returns:
        None where the answer does not name exactly the events that were sent: nothing is known about any of them.
    """
    found = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(found, list) or len(found) != events:
        return None
    return [_item(item) for item in found]


def _item(item: Any) -> tuple[Verdict, str]:
    result = item.get("create") if isinstance(item, dict) else None
    status = result.get("status") if isinstance(result, dict) else None
    if not isinstance(result, dict) or type(status) is not int:
        return outcomes.UNKNOWN, "the answer has no status for this event"
    if result.get("failure_store") == "used":
        return _FAILURE_STORE, "Elasticsearch put the document into the data stream's failure store"
    if status < 300:
        return outcomes.DELIVERED, ""
    kind, reason = _error(result)
    return _verdict(status, kind, reason), _words(kind, reason)


def _verdict(status: int, kind: str, reason: str) -> Verdict:
    if status == 400 and (kind in _OPERATOR_MUST_ACT or reason.startswith("pipeline with id [")):
        return outcomes.REFUSED
    if (
        kind == "fail_processor_exception"
    ):  # a 500, but it is the operator's pipeline that refuses the document
        return outcomes.MAPPING
    return outcomes.item(status)


def refusal(status: int, body: Any, events: int) -> tuple[Verdict, str]:
    """What it means that the whole request was answered by `status`, which is no 2xx, and the answer's words.

    Args:
        status: of HTTP.
        body: the decoded body: an object where it comes from Elasticsearch, text where a proxy answered.
        events: how many were sent.
    """
    if not isinstance(body, dict):
        return _request(status, "", events), f"HTTP {status}: {_text(body)}".rstrip(": ")
    kind, reason = _error(body)
    return _request(status, kind, events), f"HTTP {status}: {_words(kind, reason)}".rstrip(": ")


def _request(status: int, kind: str, events: int) -> Verdict:
    if status in (400, 422) and kind != "action_request_validation_exception":
        return outcomes.REFUSED
    return outcomes.request(status, events)


def _error(answer: dict[str, Any]) -> tuple[str, str]:
    """Type and reason of an error, in whichever of its shapes it comes."""
    error = answer.get("error")
    if isinstance(error, dict):
        return str(error.get("type") or ""), str(error.get("reason") or "")
    return "", _text(error)


def _text(body: Any) -> str:
    return " ".join(body.split()) if isinstance(body, str) else ""


def _words(kind: str, reason: str) -> str:
    hint = _HINTS.get(kind)
    words = ": ".join(part for part in (kind, reason) if part)
    return f"{hint} ({words})" if hint else words
