"""What goes to Elastic's own pipeline: the event as it came, and what its agent would add."""

import json

import pytest

from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.document_for_elastic_pipeline import raw_document
from tests.unit.ecs.okta_events import bare, event_of

CHAIN = [{"ip": "192.0.2.7", "version": "V4"}]


def test_the_message_is_the_event_byte_for_byte_where_nothing_is_out_of_place() -> None:
    body = b'{"uuid":"u1","published":"2026-08-21T09:15:33.679Z","eventType":"a.b",  "x":1.50,"y":null}'
    assert raw_document(event_of(body), DocumentOptions(namespace="prod")) == {
        "@timestamp": "2026-08-21T09:15:33.679Z",
        "message": body.decode(),
        "data_stream": {"type": "logs", "dataset": "okta.system", "namespace": "prod"},
        "event": {"module": "okta", "dataset": "okta.system", "created": "2026-08-21T09:15:44.913Z"},
        "tags": ["forwarded", "okta-system"],
    }


def test_the_org_stands_beside_the_event_if_that_is_wanted() -> None:
    for make in (document, raw_document):
        assert "organization" not in make(event_of(bare()), DocumentOptions())
        made = make(event_of(bare()), DocumentOptions(organization_name=True))
        assert made["organization"] == {"name": event_of(bare()).org}


def test_a_hooks_chain_of_addresses_goes_where_the_system_log_has_it() -> None:
    hook = bare(client={"ipAddress": "192.0.2.7", "ipChain": CHAIN}, request={"other": 1})
    message = json.loads(raw_document(event_of(hook), DocumentOptions())["message"])
    assert message["client"] == {"ipAddress": "192.0.2.7"}
    assert message["request"] == {"other": 1, "ipChain": CHAIN}
    assert {key: message[key] for key in bare()} == bare()


@pytest.mark.parametrize(
    "event",
    [
        bare(client={"ipChain": CHAIN}, request={"ipChain": CHAIN}),
        bare(client={"ipChain": []}),
        bare(client=None, request=None),
        bare(client="?"),
    ],
)
def test_everything_else_stays_as_it_came(event: dict[str, object]) -> None:
    assert json.loads(raw_document(event_of(event), DocumentOptions())["message"]) == event


def test_the_options_go_along_as_elastics_agent_sends_them() -> None:
    options = DocumentOptions(preserve_original_event=True, remove_flattened_debug=True, tags=("mine", "forwarded"))
    made = raw_document(event_of(bare()), options)
    assert made["tags"] == ["forwarded", "okta-system", "preserve_original_event", "mine"]
    assert made["_conf"] == {"remove_flattened_debug": True}
