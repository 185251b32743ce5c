from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from forwarder.react.settings.actions import DoSettings, PlainSettings
from forwarder.settings import Settings
from forwarder.sink_settings import DeliverySettings
from tools.make_configuration import SECTIONS, TARGET, page


@pytest.mark.long
def test_the_page_of_the_configuration_is_what_the_code_says() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run tools/make_configuration.py"


@pytest.mark.long
def test_a_default_is_yaml_and_no_meaning_contradicts_its_unit() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    for _, default, meaning in rows:
        if default.startswith("`"):
            yaml.safe_load(default.strip("`"))
        assert "(" not in default
        assert not meaning.startswith(("Seconds", "Bytes"))
        assert "See below" not in meaning


@pytest.mark.long
def test_every_key_has_a_meaning() -> None:
    bare = [line for line in page().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not bare
    assert len(SECTIONS) > 10


def test_every_section_that_a_configuration_can_have_is_on_the_page() -> None:
    shown = {model for _, _, model in SECTIONS}
    nothing_more = {Settings, PlainSettings, DoSettings}  # its parts, no keys, and the keys of FirstDoSettings but one
    found = {model for model in sections(Settings) if not issubclass(model, DeliverySettings)}
    assert {model.__name__ for model in found - shown - nothing_more} == set()
    assert not shown - found - {DeliverySettings}


def sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The section and all below it."""
    found: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        if (one := waiting.pop()) in found:
            continue
        found.add(one)
        for field in one.model_fields.values():
            waiting += [each for part in (field.annotation, *field.metadata) for each in models(part)]
    return found


def models(written: Any) -> Iterator[type[BaseModel]]:
    """The sections that an annotation names."""
    if isinstance(written, type) and issubclass(written, BaseModel):
        yield written
    for part in get_args(written):
        yield from models(part)
