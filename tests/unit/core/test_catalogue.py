import json
import os
from pathlib import Path

import pytest

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE, RELEASE

SHARED = Path(os.environ.get("FORWARDER_SHARED", Path(__file__).parents[4] / "shared"))
SOURCE = SHARED / "data" / "okta" / "event-types.json"


def test_the_catalogue_holds_oktas_public_types() -> None:
    assert len(EVENT_TYPES) == 1178
    assert sum(HOOK_ELIGIBLE in tags for tags in EVENT_TYPES.values()) == 264


@pytest.mark.skipif(
    not SOURCE.exists(), reason=f"Okta's catalogue is not at {SOURCE}; name its folder in FORWARDER_SHARED"
)
def test_the_catalogue_is_oktas() -> None:
    source = json.loads(SOURCE.read_text())
    public = {t["id"]: t for t in source["versions"][0]["eventTypes"] if not t["beta"] and not t["internal"]}
    assert source["release"] == RELEASE
    assert public.keys() == EVENT_TYPES.keys()
    assert all(set(public[name]["tags"]) <= set(tags) for name, tags in EVENT_TYPES.items())
