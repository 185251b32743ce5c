"""Elasticsearch's `_bulk` API: the lines of a request, and the verdict of the response for each event.

The cause of a 400 is the document or the cluster. In the first case the event is a dead letter. In the second case
every event fails until an operator acts, so the sink is paused. Errors of the second kind, seen on Elasticsearch 9.4:

    one item   index_closed_exception                     someone closed the index
               validation_exception                       no room for another shard
               illegal_argument_exception, "pipeline with id [...] does not exist"
    request    everything but action_request_validation_exception: a document is only looked at as an item,
               so a request is refused for its URL, its parameters or its media type
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from forwarder.core.event import Source
from forwarder.core.outcome import RejectReason
from forwarder.ecs.action import ACTION_DATASET
from forwarder.ecs.alert import ALERT_DATASET
from forwarder.sinks import outcomes
from forwarder.sinks.elasticsearch.settings import SETUP_NAME
from forwarder.sinks.outcomes import Verdict

PIPELINES = "items.*.executed_pipelines"

FILTER = "errors,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store"
"""The parts of the response that we need. A 201 with `failure_store` looks like a delivery, but is a rejection."""

ID_LIMIT = 512
"""The maximum length of an `_id` in bytes. If one is longer, Elasticsearch refuses the whole request."""

SETUP = "run `forwarder setup elasticsearch`"

_OTHER_ID = "the response names another document than the event's; an ingest pipeline must not change `_id`"
_OTHER_TEMPLATE = (
    "the data stream was created by another index template than that of `forwarder setup elasticsearch` (documents are"
    " processed {through}): types of fields are guessed, and rules and dashboards miss events; run `forwarder setup"
    " elasticsearch --rollover`, or name your own `pipeline` in the sink"
)
_FAILURE_STORE = Verdict(reject=RejectReason.FAILURE_STORE)
_OPERATOR_MUST_ACT = {"index_closed_exception", "validation_exception"}
_HINTS = {
    "index_not_found_exception": f"no index template matches this data stream; {SETUP}",
    "media_type_header_exception": "this Elasticsearch is older than the client library;"
    " install the client of its major version: pip install 'elasticsearch<9'",
    "resource_not_found_exception": "an index or alias has the name of the data stream;"
    f" remove or rename it, then {SETUP}",
}
_CREDENTIALS = {
    401: "the credentials are not accepted; set `api_key` to a valid key, or correct `basic_auth`",
    403: "the credentials may not write here; give the key `create_doc` and `auto_configure` on logs-okta.system-*",
}
_BESIDE_HINT = (
    "{what} cannot be written; give the key `create_doc` and `auto_configure` on logs-{dataset}-*, and {setup};"
    " then: forwarder dead-letters replay --all --reason {reason}"
)
_encode = msgspec.json.Encoder().encode


def document_id(uuid: str, org: str = "") -> str:
    """Return the `_id` of an event: `uuid`, or `org:uuid` if `org` is given; a digest of this text if it is too long.

    Every copy of an event has the same `_id`, so sending it twice is harmless.
    """
    whole = f"{org}:{uuid}" if org else uuid  # no name of an org has a colon
    data = whole.encode()
    return whole if len(data) <= ID_LIMIT else f"sha256-{hashlib.sha256(data).hexdigest()}"


def lines(id_: str, document: dict[str, Any]) -> bytes:
    """Return the two lines of a bulk request that create `document`, unless a document with the same id exists."""
    return b'{"create":{"_id":%b}}\n%b\n' % (_encode(id_), _encode(document))


def items(response: Any, events: int, ids: Sequence[str] = ()) -> list[tuple[Verdict, str]] | None:
    """Return (verdict, text) for each event, in the order sent, from `response`, the body of a 2xx response.

    None if the number of items is not `events`, the number sent: then the outcome of all of them is unknown. `ids` are
    the `_id`s sent, in order; an item with another `_id` gets the verdict REFUSED.
    """
    found = response.get("items") if isinstance(response, dict) else None
    if not isinstance(found, list) or len(found) != events:
        return None
    return [_item(item, sent) for item, sent in zip_longest(found, ids)]


def template_warning(response: Any, *, raw: bool) -> str | None:
    """Return a warning if the data stream was created by another index template than ours; empty if by ours.

    None if `response` does not show it. It is concluded from the pipelines that ran: ours, or with `raw` any pipeline,
    means the right template. A key with the rights of a sink can see nothing else of the template.
    """
    results = [item.get("create") for item in response["items"] if isinstance(item, dict)]
    ran = [
        result["executed_pipelines"]
        for result in results
        if isinstance(result, dict) and result.get("status") == 201 and "executed_pipelines" in result
    ]
    if not ran or not isinstance(ran[-1], list):
        return None
    if ran[-1] if raw else SETUP_NAME in ran[-1]:
        return ""
    through = f"by the pipelines {', '.join(map(str, ran[-1]))[:200]}" if ran[-1] else "by no pipeline"
    return _OTHER_TEMPLATE.format(through=through)


def _item(item: Any, sent: str | None) -> tuple[Verdict, str]:
    result = item.get("create") if isinstance(item, dict) else None
    status = result.get("status") if isinstance(result, dict) else None
    if not isinstance(result, dict) or type(status) is not int:
        return outcomes.UNKNOWN, "the response has no status for this event"
    if result.get("failure_store") == "used":
        return _FAILURE_STORE, "Elasticsearch put the document into the failure store of the data stream"
    answered = result.get("_id")
    if sent is not None and answered is not None and answered != sent:
        return outcomes.REFUSED, f"{_OTHER_ID} (sent {sent[:100]!r}, answered {str(answered)[:100]!r})"
    verdict = outcomes.item_verdict(status)
    if "error" in result and verdict == outcomes.DELIVERED and status != 409:
        verdict = outcomes.UNKNOWN
    if verdict == outcomes.DELIVERED:
        return verdict, ""
    kind, reason = _error(result)
    detail = _detail(kind, reason, status)
    if status == 400 and (kind in _OPERATOR_MUST_ACT or reason.startswith("pipeline with id [")):
        return outcomes.REFUSED, detail
    if kind == "fail_processor_exception":  # a 500, but the operator's pipeline rejects the document
        return outcomes.MAPPING, detail
    return verdict, detail or f"the response has status {status} for this event"


def request_error(status: int, body: Any, events: int) -> tuple[Verdict, str]:
    """Return (verdict, text) for all `events` events of a request that failed with the HTTP `status`.

    The decoded `body` is a JSON object from Elasticsearch, or text from a proxy.
    """
    kind, reason = _error(body) if isinstance(body, dict) else ("", _text(body))
    detail = f"HTTP {status}: {_detail(kind, reason, status)}".rstrip(": ")
    if status in (400, 422) and kind != "action_request_validation_exception":
        return outcomes.REFUSED, detail
    verdict = outcomes.request_verdict(status, events)
    # The client takes some 2xx for an error. Only its items could say what was delivered.
    return outcomes.UNKNOWN if verdict == outcomes.DELIVERED else verdict, detail


class Beside(msgspec.Struct, frozen=True):
    """A data stream of our own documents, beside the data stream of Okta's events.

    Attributes:
        what: its documents, in words.
        dataset: the middle part of its name.
        reason: the reason of the rejection if the data stream does not accept a document.
    """

    what: str
    dataset: str
    reason: RejectReason

    def verdict(self, verdict: Verdict, detail: str) -> tuple[Verdict, str]:
        """Return (verdict, text) for a document of this data stream whose response had `verdict` and `detail`.

        A verdict that would pause the sink becomes a rejection, so that Okta's events are still delivered. Exceptions
        are wrong credentials and redirects, which affect Okta's events too.
        """
        if not verdict.pause or verdict in (outcomes.UNAUTHORIZED, outcomes.REDIRECT):
            return verdict, detail
        hint = _BESIDE_HINT.format(what=self.what, dataset=self.dataset, setup=SETUP, reason=self.reason)
        return Verdict(reject=self.reason), f"{hint} ({detail})"


BESIDE: Mapping[Source, Beside] = {
    Source.ALERT: Beside("alerts", ALERT_DATASET, RejectReason.ALERT_STREAM),
    Source.ACTION: Beside("what reactions did", ACTION_DATASET, RejectReason.ACTION_STREAM),
}


def _error(response: dict[str, Any]) -> tuple[str, str]:
    """Return (type, reason) of the `error` of a response, which may be an object or text; empty if unknown."""
    error = response.get("error")
    if isinstance(error, dict):
        return str(error.get("type") or ""), str(error.get("reason") or "")
    return "", _text(error)


def _text(body: Any) -> str:
    return " ".join(body.split()) if isinstance(body, str) else ""


def _detail(kind: str, reason: str, status: int) -> str:
    hint = _CREDENTIALS.get(status) if kind == "security_exception" else _HINTS.get(kind)
    detail = ": ".join(part for part in (kind, reason) if part)
    return f"{hint} ({detail})" if hint else detail
