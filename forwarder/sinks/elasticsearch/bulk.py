"""Elasticsearch's `_bulk` API: builds the lines of a request, and finds the verdict for each event in the response.

The cause of an HTTP status 400 is either the document or the cluster. If the cause is the document, the event becomes a
dead letter. If the cause is the cluster, every event fails until an operator acts, so the sink pauses. In Elasticsearch
9.4, the cluster is the cause of these errors:

    one item   index_closed_exception                     someone closed the index
               validation_exception                       the cluster has no room for another shard
               illegal_argument_exception, "pipeline with id [...] does not exist"
    request    all errors except action_request_validation_exception: Elasticsearch reports an error of a document
               for its item, so it refuses a whole request because of its URL, its parameters or its media type
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from forwarder.core.event import Source
from forwarder.core.outcome import RejectReason
from forwarder.ecs.action_document import ACTION_DATASET
from forwarder.ecs.alert_document import ALERT_DATASET
from forwarder.sinks import response_verdicts
from forwarder.sinks.elasticsearch.settings import SETUP_NAME
from forwarder.sinks.response_verdicts import ResponseVerdict

PIPELINES = "items.*.executed_pipelines"

FILTER = "errors,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store"
"""The parts of the response that the sink needs. `failure_store` is one of them, because a document in the failure
store has the status 201, which looks like a delivery although the document was rejected."""

ID_LIMIT = 512
"""The maximum length of an `_id` in bytes. If an `_id` is longer, Elasticsearch refuses the whole request."""

SETUP = "run `forwarder setup elasticsearch`"

_OTHER_ID = "the response has another `_id` than the one sent for this event; an ingest pipeline must not change `_id`"
_OTHER_TEMPLATE = (
    "the data stream was not created by the index template of `forwarder setup elasticsearch` (documents are processed"
    " {through}). So Elasticsearch guesses the types of fields, and rules and dashboards miss events; run `forwarder setup"
    " elasticsearch --rollover`, or, if you have a template of your own, set `pipeline` in the sink"
)
_CONFLICT = "version_conflict_engine_exception"
"""The only error type which means that a document with the `_id` of the request exists already."""

_MEMORY = re.compile(r"operation_bytes=(\d{1,20}), max_[a-z_]{1,40}_bytes=(\d{1,20})")
"""Matches the size of an operation and the limit for all operations together, in the text of a 429. The pattern takes
linear time: the text may have 3 MB."""

_FAILURE_STORE = ResponseVerdict(reject=RejectReason.FAILURE_STORE)
_OPERATOR_MUST_ACT = {"index_closed_exception", "validation_exception"}
_NO_PIPELINE = "pipeline with id ["
_NO_PIPELINE_HINT = f"the ingest pipeline does not exist; {SETUP}, or correct `pipeline` of the sink"
_BLOCK = "blocked by: [FORBIDDEN/"
_BLOCK_HINT = "a block on the index or the cluster forbids writes; remove the block"
_FLOOD_STAGE = "flood-stage"
_FLOOD_STAGE_HINT = (
    "the disk of Elasticsearch is nearly full; free space there, then Elasticsearch accepts events again"
)
_HINTS = {
    "index_closed_exception": "the index is closed; open it",
    "validation_exception": "the cluster has no room for another shard; delete old indices, or raise"
    " `cluster.max_shards_per_node`",
    "index_not_found_exception": f"no index template matches this data stream; {SETUP}",
    "media_type_header_exception": "this Elasticsearch is older than the client library;"
    " install the client of its major version: pip install 'elasticsearch<9'",
    "resource_not_found_exception": "an index or alias has the name of the data stream;"
    f" remove or rename it, then {SETUP}",
}
LICENSE = "current license is non-compliant"
"""The beginning of the text with which Elasticsearch refuses every request after its license has expired. The type and
the status of the error are those of missing privileges."""
LICENSE_HINT = "the license of Elasticsearch does not allow this, or has expired; renew it (GET _license shows it)"
WRONG_CREDENTIALS = "the credentials are not accepted; set `api_key` to a valid key, or correct `basic_auth`"
_CREDENTIALS = {
    401: WRONG_CREDENTIALS,
    403: "the credentials may not write here; give the key `create_doc` and `auto_configure` on logs-okta.system-*",
}
_OWN_STREAM_HINT = (
    "{what} cannot be written; give the key `create_doc` and `auto_configure` on logs-{dataset}-*, and {setup};"
    " then run: forwarder dead-letters replay --all --reason {reason}"
)
_encode = msgspec.json.Encoder().encode


def document_id(uuid: str, org: str = "") -> str:
    """Return the `_id` of the document of an event: `uuid`, or `org:uuid` if `org` is not empty. If this text is too
    long for an `_id`, return a digest of the text.

    All copies of an event have the same `_id`, so sending an event twice is harmless.
    """
    whole = f"{org}:{uuid}" if org else uuid  # the name of an org cannot contain a colon
    data = whole.encode()
    return whole if len(data) <= ID_LIMIT else f"sha256-{hashlib.sha256(data).hexdigest()}"


def lines(id_: str, document: dict[str, Any]) -> bytes:
    """Return the two lines of a bulk request that create `document` with the id `id_`, unless a document with this id
    exists already."""
    return b'{"create":{"_id":%b}}\n%b\n' % (_encode(id_), _encode(document))


def items(response: Any, events: int, ids: Sequence[str] = ()) -> list[tuple[ResponseVerdict, str]] | None:
    """Return a verdict and a text for each event of a request, in the order of the events.

    `response` is the decoded body of a response with a 2xx status, and `events` is the number of events in the request.
    `ids` has the `_id` of each event. If the item of an event has another `_id`, the event gets the verdict REFUSED.
    The result is None if `response` does not have exactly one item for each event. The outcome of all events is then
    unknown.
    """
    found = response.get("items") if isinstance(response, dict) else None
    if not isinstance(found, list) or len(found) != events:
        return None
    return [_item(item, sent, alone=events == 1) for item, sent in zip_longest(found, ids)]


def other_success(status: int, events: int) -> tuple[ResponseVerdict, str] | None:
    """Return a verdict and a text for all events of a request if `status`, the 2xx status of the response, does not
    mean that the events were accepted; else return None.

    Elasticsearch sends no 2xx status other than those that mean success. So a response with another one, such as 206,
    proves nothing, even if the response has an item for each event. It may come from a cache, for example.
    """
    verdict = response_verdicts.request_verdict(status, events)
    if verdict == response_verdicts.DELIVERED:
        return None
    text = f"HTTP {status}: Elasticsearch never answers with this status; check `hosts`, and the proxies on the way"
    return verdict, text


def template_warning(response: Any, *, raw: bool) -> str | None:
    """Return a text that says whether the data stream was created by the right index template: a warning if the
    template is wrong, the empty string if the template is right, and None if `response` does not show which template
    was used.

    The API key of a sink may not be allowed to read templates. So the function looks at the names of the ingest
    pipelines that ran: if our pipeline ran, the template is right. If `raw` is True (`document_format: raw`), any
    pipeline is right.
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


def _item(item: Any, sent: str | None, *, alone: bool) -> tuple[ResponseVerdict, str]:
    result = item.get("create") if isinstance(item, dict) and len(item) == 1 else None
    status = result.get("status") if isinstance(result, dict) else None
    if not isinstance(result, dict) or type(status) is not int:
        return response_verdicts.UNKNOWN, "the response has no status for this event"
    if result.get("failure_store") == "used":
        return _FAILURE_STORE, "Elasticsearch put the document into the failure store of the data stream"
    answered = result.get("_id")
    if sent is not None and answered is not None and answered != sent:
        return (response_verdicts.REFUSED, f"{_OTHER_ID} (sent {sent[:100]!r}, answered {str(answered)[:100]!r})")
    verdict = response_verdicts.item_verdict(status)
    kind, reason = _error(result)
    if "error" in result and verdict == response_verdicts.DELIVERED and (status, kind) != (409, _CONFLICT):
        verdict = response_verdicts.UNKNOWN
    if verdict == response_verdicts.DELIVERED:
        return verdict, ""
    detail = _detail(kind, reason, status)
    if status == 400 and (kind in _OPERATOR_MUST_ACT or reason.startswith(_NO_PIPELINE)):
        return response_verdicts.REFUSED, detail
    if alone and status == 429 and _never_fits(reason):
        return response_verdicts.TOO_LARGE, detail
    if kind == "fail_processor_exception":  # the status is 500, but the operator's pipeline rejects the event
        return response_verdicts.MAPPING, detail
    return verdict, detail or f"the response has status {status} for this event"


def request_error(status: int, body: Any, events: int, target: str = "") -> tuple[ResponseVerdict, str]:
    """Return a verdict and a text for all events of a request that failed with the HTTP status `status`.

    `events` is the number of events in the request. `body` is the decoded body of the response: a JSON object from
    Elasticsearch, or text from a proxy. `target` is the address to which a redirect leads; empty if the response is not
    a redirect.
    """
    kind, reason = _error(body) if isinstance(body, dict) else ("", _text(body))
    to = f" to {target.partition('?')[0]}" if target else ""
    detail = f"HTTP {status}{to}: {_detail(kind, reason, status)}".removesuffix(": ")
    if status in (400, 422) and kind != "action_request_validation_exception":
        return response_verdicts.REFUSED, detail
    if status == 429 and _never_fits(reason):
        return response_verdicts.request_verdict(413, events), detail
    verdict = response_verdicts.request_verdict(status, events)
    # The client library raises an error for some 2xx responses too. The error does not have the items of the response,
    # so the outcome is unknown.
    return response_verdicts.UNKNOWN if verdict == response_verdicts.DELIVERED else verdict, detail


class OwnStream(msgspec.Struct, frozen=True):
    """A data stream of the forwarder's own documents, such as alerts. Okta's events are in a separate data stream.

    Attributes:
        what: what the documents are called in messages, in the plural.
        dataset: the middle part of the name of the data stream.
        reason: the reason of the dead letter that a document becomes if the data stream does not accept the document.
    """

    what: str
    dataset: str
    reason: RejectReason

    def verdict(self, verdict: ResponseVerdict, detail: str) -> tuple[ResponseVerdict, str]:
        """Return the verdict and the text for a document of this data stream. `verdict` and `detail` are the verdict
        and the text that the response alone would give.

        A verdict that would pause the sink is replaced by a rejection, so that Okta's events are still delivered. The
        verdicts for wrong credentials, for redirects and for an expired license are not replaced, because these affect
        Okta's events too.
        """
        affects_all = verdict in (response_verdicts.UNAUTHORIZED, response_verdicts.REDIRECT) or LICENSE in detail
        if not verdict.pause or affects_all:
            return verdict, detail
        hint = _OWN_STREAM_HINT.format(what=self.what, dataset=self.dataset, setup=SETUP, reason=self.reason)
        return ResponseVerdict(reject=self.reason), f"{hint} ({detail})"


OWN_STREAMS: Mapping[Source, OwnStream] = {
    Source.ALERT: OwnStream("alerts", ALERT_DATASET, RejectReason.ALERT_STREAM),
    Source.ACTION: OwnStream("reports about actions", ACTION_DATASET, RejectReason.ACTION_STREAM),
}


def _error(response: dict[str, Any]) -> tuple[str, str]:
    """Return the type and the reason of the `error` in `response`. If `error` is a string, the string is the reason. A
    type or a reason that is missing is returned as the empty string."""
    error = response.get("error")
    if isinstance(error, dict):
        return str(error.get("type") or ""), str(error.get("reason") or "")
    return "", _text(error)


def _never_fits(reason: str) -> bool:
    """Return whether `reason`, the text of a 429, says that an operation is larger than the server's limit for all
    operations together (a part of its heap). Such an operation is refused even by an idle server."""
    memory = _MEMORY.search(reason)
    return memory is not None and int(memory[1]) > int(memory[2])


def _text(body: Any) -> str:
    return " ".join(body.split()) if isinstance(body, str) else ""


def _detail(kind: str, reason: str, status: int) -> str:
    detail = ": ".join(part for part in (kind, reason) if part)
    hint = _hint(kind, reason, status)
    return f"{hint} ({detail})" if hint else detail


def _hint(kind: str, reason: str, status: int) -> str | None:
    if kind == "security_exception":
        return LICENSE_HINT if reason.startswith(LICENSE) else _CREDENTIALS.get(status)
    if kind == "cluster_block_exception":
        found = ((_FLOOD_STAGE, _FLOOD_STAGE_HINT), (_BLOCK, _BLOCK_HINT))
        return next((hint for part, hint in found if part in reason), None)
    return _NO_PIPELINE_HINT if reason.startswith(_NO_PIPELINE) else _HINTS.get(kind)
