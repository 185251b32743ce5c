"""docs/mapping.md says what the code does."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given

from forwarder.ecs.attributes import log_view
from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.fields import FIELDS
from tests.examples import examples
from tests.unit.ecs.okta_events import Json, event_of, log_events, sign_in
from tools.make_mapping_table import DERIVED, TARGET, page

BY_THE_SERVER = {"event.ingested", "user_agent.*"}
NAMES = {name for row in FIELDS for name in row.ecs} | {name for row in DERIVED for name in row.ecs}
WHOLE = ("flattened", "ip_chain", "device_integrator")  # free objects: their inner names are Okta's


def names(value: dict[str, Any], path: str = "") -> set[str]:
    """The field names of a document, through lists of objects too."""
    found: set[str] = set()
    for key, inner in value.items():
        parts = inner if isinstance(inner, list) else [inner]
        objects = [part for part in parts if isinstance(part, dict)]
        if not objects or key in WHOLE or f"{path}{key}" in NAMES:
            found.add(path + key)
            continue
        for part in objects:
            found |= names(part, f"{path}{key}.")
    return found


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run `python tools/make_mapping_table.py`"


@pytest.mark.long
@given(log_events())
@examples(30)
def test_a_document_has_no_field_that_the_page_does_not_name(raw: Json) -> None:
    made = names(document(event_of(raw), DocumentOptions(preserve_original_event=True, okta_geo=True)))
    assert [name for name in made if not any(fnmatchcase(name, known) for known in NAMES)] == []


@pytest.mark.long
def test_every_field_that_the_page_names_is_in_a_document_of_a_full_event() -> None:
    raw = sign_in()
    raw["client"]["id"] = "0oa1"
    raw["outcome"]["reason"] = "x"
    raw["transaction"]["detail"]["rootApiTokenId"] = "x"
    raw["device"] |= {"jailbreak": False, "device_integrator": "{}", "new": "x"}
    raw["debugContext"]["debugData"] |= dict.fromkeys(
        ("clientSecret", "requestedScopes", "grantedScopes", "grantType", "factor"), "x"
    )
    raw["authenticationContext"]["authenticatorContext"] = dict.fromkeys(
        ("bindingMethod", "binaryIdentifier", "validationStatus"), "x"
    )
    changes = {"from": {"a": "b"}, "to": {"a": "c"}}
    raw["target"] += [
        {"id": "1", "type": "User", "displayName": "x", "detailEntry": {"methodTypeUsed": "x"}},
        {"id": "2", "type": "UserGroup", "displayName": "x", "changeDetails": changes},
    ]
    made = names(document(event_of(raw), DocumentOptions(preserve_original_event=True, okta_geo=True)))
    assert [known for known in NAMES - BY_THE_SERVER if not any(fnmatchcase(name, known) for name in made)] == []


def test_every_attribute_of_a_record_is_on_the_page() -> None:
    text = page()
    free = ("okta.debug_context.debug_data.", "okta.request.ip_chain.", "okta.target.", "okta.device.")
    missing = [name for name in log_view(event_of(sign_in())).attributes if f"`{name}`" not in text]
    assert [name for name in missing if not name.startswith(free)] == []
