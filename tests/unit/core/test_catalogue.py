import json

import pytest

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE, RELEASE
from tests import shared_data


def test_the_catalogue_holds_oktas_public_types() -> None:
    assert len(EVENT_TYPES) == 1178
    assert sum(HOOK_ELIGIBLE in tags for tags in EVENT_TYPES.values()) == 264


@pytest.mark.long
@shared_data.needs(shared_data.EVENT_TYPES)
def test_the_catalogue_is_oktas() -> None:
    source = json.loads(shared_data.EVENT_TYPES.read_text())
    public = {t["id"]: t for t in source["versions"][0]["eventTypes"] if not t["beta"] and not t["internal"]}
    assert source["release"] == RELEASE
    assert public.keys() == EVENT_TYPES.keys()
    assert all(set(public[name]["tags"]) <= set(tags) for name, tags in EVENT_TYPES.items())
