"""Elastic's own pipeline tests, on our mapping."""

import datetime as dt
import json
from typing import Any

import pytest

from forwarder.core.event import Source, read_event
from forwarder.core.time import Micros, to_micros
from forwarder.ecs.document import DocumentOptions, document
from tests import shared_data
from tests.shared_data import Fixture, flat
from tests.unit.ecs import wanted_differences
from tests.unit.ecs.wanted_differences import ALL, NOT_IN_FIXTURES, OLDER, WANTED
from tools.make_mapping_table import DIFFERENCES

RECEIVED: Micros = to_micros(dt.datetime(2026, 8, 21, 9, 15, 44, 913000, tzinfo=dt.UTC))
UNORDERED = ("event.category", "event.type", "tags", "related.user", "related.ip")

pytestmark = shared_data.needs(shared_data.FIXTURES)


def comparable(value: dict[str, Any]) -> dict[str, Any]:
    fields = flat(value)
    return {name: frozenset(value) if name in UNORDERED else value for name, value in fields.items()}


def wanted(fixture: Fixture, without: wanted_differences.Wanted | None = None) -> dict[str, Any]:
    fields = comparable(fixture.expected)
    for difference in WANTED:
        if fixture.folder in difference.folders and difference is not without:
            difference.amend(fields, json.loads(fixture.line))
    return fields


def ours(fixture: Fixture) -> dict[str, Any]:
    event = read_event(fixture.line.encode(), org="acme", source=Source.LOG, received_at=RECEIVED)
    options = DocumentOptions(preserve_original_event=True, remove_flattened_debug=fixture.folder in OLDER)
    return comparable(document(event, options))


def test_all_fixtures_are_here() -> None:
    folders = [fixture.folder for fixture in shared_data.fixtures()]
    assert {folder: folders.count(folder) for folder in ALL} == dict(zip(ALL, (25, 25, 24), strict=True))
    assert len(folders) == 74


@pytest.mark.long
@pytest.mark.parametrize("fixture", shared_data.fixtures(), ids=str)
def test_a_fixture_becomes_elastics_document_but_for_what_we_want_otherwise(fixture: Fixture) -> None:
    assert ours(fixture) == wanted(fixture)


def test_the_page_of_the_mapping_lists_the_wanted_differences_and_no_others() -> None:
    names = [difference.amend.__name__.strip("_") for difference in WANTED]
    assert [*names, *sorted(NOT_IN_FIXTURES)] == [
        *[name for name in DIFFERENCES if name in names],
        *sorted(name for name in DIFFERENCES if name not in names),
    ]


@pytest.mark.long
@pytest.mark.parametrize("difference", WANTED, ids=lambda difference: difference.amend.__name__.strip("_"))
def test_a_wanted_difference_is_still_one(difference: wanted_differences.Wanted) -> None:
    concerned = [fixture for fixture in shared_data.fixtures() if fixture.folder in difference.folders]
    assert any(ours(fixture) != wanted(fixture, without=difference) for fixture in concerned)
