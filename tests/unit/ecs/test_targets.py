from typing import Any

import pytest

from forwarder.ecs.document import DocumentOptions, document
from tests.unit.ecs.okta_events import bare, event_of

USER = {"id": "00u1", "type": "User", "alternateId": "bob@x.y", "displayName": "Bob"}
GROUP = {"id": "00g1", "type": "UserGroup", "alternateId": "unknown", "displayName": "Sales"}
APP = {"id": "0oa1", "type": "AppInstance", "alternateId": "Payroll", "displayName": "Payroll"}


def made(target: Any) -> dict[str, Any]:
    return document(event_of(bare(target=target)), DocumentOptions())


def test_names_become_elastics_and_the_order_stays() -> None:
    assert made([APP, USER])["okta"]["target"] == [
        {"id": "0oa1", "type": "AppInstance", "alternate_id": "Payroll", "display_name": "Payroll"},
        {"id": "00u1", "type": "User", "alternate_id": "bob@x.y", "display_name": "Bob"},
    ]


def test_the_first_user_and_the_first_group_are_found_by_type_in_any_place_and_case() -> None:
    second = USER | {"id": "00u2"}
    user = made([APP, GROUP | {"type": "USERGROUP"}, USER | {"type": "user"}, second, GROUP | {"id": "00g2"}])["user"]
    assert user == {"target": {"full_name": "Bob", "id": "00u1", "group": {"name": "Sales", "id": "00g1"}}}


def test_a_target_without_a_type_is_kept_and_the_others_are_found() -> None:
    document = made([{"id": "x"}, {"id": "y", "type": None}, {"id": "z", "type": 7}, USER])
    assert [item["id"] for item in document["okta"]["target"]] == ["x", "y", "z", "00u1"]
    assert document["user"]["target"]["id"] == "00u1"


def test_of_the_details_only_how_one_signed_in_is_kept() -> None:
    details = {"methodTypeUsed": "Use Okta FastPass", "methodUsedVerifiedProperties": "[X]", "serial": "7"}
    (kept,) = made([APP | {"detailEntry": details}])["okta"]["target"]
    assert kept["detailEntry"] == {"methodTypeUsed": "Use Okta FastPass", "methodUsedVerifiedProperties": "[X]"}
    (kept,) = made([APP | {"detailEntry": {"serial": "7"}}])["okta"]["target"]
    assert "detailEntry" not in kept


def test_every_changed_value_is_text_because_the_same_name_is_an_object_elsewhere() -> None:
    changes = {
        "from": {"zone": "OFF", "include": None, "rules": {"a": None}},
        "to": {"zone": {"include": ["ALL"], "exclude": None}, "on": True, "count": 2, ".x": "y"},
    }
    (kept,) = made([APP | {"changeDetails": changes}])["okta"]["target"]
    assert kept["changeDetails"] == {
        "from": {"zone": "OFF"},
        "to": {"zone": '{"include":["ALL"]}', "on": "true", "count": "2", "_x": "y"},
    }


@pytest.mark.parametrize("nothing", [None, [], {}, "x", 7, [None], [{}], ["x", 7], [{"id": ""}], [[USER]]])
def test_nothing_to_keep_gives_no_field(nothing: object) -> None:
    document = made(nothing)
    assert "target" not in document["okta"]
    assert "user" not in document


def test_a_single_object_counts_as_a_list_of_one() -> None:
    assert made(USER) == made([USER])


@pytest.mark.parametrize("changes", ["x", [], {"from": "x", "to": []}, {"other": {"a": "b"}}])
def test_odd_change_details_cost_nothing_else(changes: object) -> None:
    (kept,) = made([APP | {"changeDetails": changes}])["okta"]["target"]
    assert kept == {"id": "0oa1", "type": "AppInstance", "alternate_id": "Payroll", "display_name": "Payroll"}
