"""An event hook and the System Log bring the same event in two shapes, and both give the same document."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.event import Source
from forwarder.ecs.attributes import log_view
from forwarder.ecs.document import DocumentOptions, document
from tests import shared_data
from tests.examples import examples
from tests.unit.ecs.okta_events import Json, event_of, hook_twin, log_events, sign_in

OPTIONS = st.sampled_from([DocumentOptions(), DocumentOptions(remove_flattened_debug=True, okta_geo=True)])


@pytest.mark.long
@given(logged=log_events(), options=OPTIONS, nulls=st.booleans())
@examples(100)
def test_a_hook_event_and_its_system_log_twin_give_equal_documents(
    *, logged: Json, options: DocumentOptions, nulls: bool
) -> None:
    hooked = event_of(hook_twin(logged, nulls=nulls), Source.HOOK)
    assert document(hooked, options) == document(event_of(logged), options)
    assert log_view(hooked) == log_view(event_of(logged))


@pytest.mark.long
@given(logged=log_events(), nulls=st.booleans())
@examples(3)
def test_so_do_twins_of_every_type_of_the_catalogue(*, logged: Json, nulls: bool) -> None:
    for event_type in EVENT_TYPES:
        logged["eventType"] = event_type
        hooked = event_of(hook_twin(logged, nulls=nulls), Source.HOOK)
        assert document(hooked, DocumentOptions()) == document(event_of(logged), DocumentOptions())


def test_the_twins_differ_where_okta_has_them_differ() -> None:
    logged = sign_in()
    hooked = hook_twin(logged, nulls=False)
    assert "request" not in hooked
    assert hooked["client"]["ipChain"][0]["ip"] == "203.0.113.10"
    assert "source" not in hooked["client"]["ipChain"][0]
    assert "reason" not in hooked["outcome"]
    assert document(event_of(hooked), DocumentOptions())["okta"]["request"]["ip_chain"]


@shared_data.needs(shared_data.PAYLOADS)
def test_a_real_delivery_and_its_twin_give_equal_documents() -> None:
    envelope = json.loads((shared_data.PAYLOADS / "A-real-delivery-batch-of-2.json").read_text(encoding="utf-8"))
    hooked = envelope["data"]["events"][0]
    client = {key: value for key, value in hooked["client"].items() if key != "ipChain"}
    chain = [hop | {"source": None} for hop in hooked["client"]["ipChain"]]
    nulls = dict.fromkeys(("authenticationProvider", "credentialProvider", "credentialType", "issuer", "interface"))
    logged = hooked | {
        "client": client | {"id": None},
        "device": None,
        "request": {"ipChain": chain},
        "actor": hooked["actor"] | {"detailEntry": None},
        "outcome": hooked["outcome"] | {"reason": None},
        "target": [target | {"detailEntry": None} for target in hooked["target"]],
        "authenticationContext": nulls | hooked["authenticationContext"],
    }
    assert document(event_of(hooked, Source.HOOK), DocumentOptions()) == document(event_of(logged), DocumentOptions())


@pytest.mark.parametrize("chain", [[], None])
def test_a_job_without_a_client_gives_equal_documents(chain: list[Json] | None) -> None:
    logged = sign_in() | {"client": None, "request": {"ipChain": chain}}
    hooked = hook_twin(logged, nulls=False) | {"client": {"ipChain": []}}
    assert document(event_of(hooked), DocumentOptions()) == document(event_of(logged), DocumentOptions())
