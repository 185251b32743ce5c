"""Every kind of sink is built from its settings, and not from files that cannot be used."""

from pathlib import Path
from typing import Any

import pytest

from forwarder.core.errors import SinkError
from forwarder.sink_settings import SinkSettings
from forwarder.sinks import registry
from tests.fakes.clock import ManualClock

MINIMAL: dict[str, dict[str, Any]] = {
    "elasticsearch": {"hosts": ["https://127.0.0.1:1"]},
    "file": {},
    "otlp": {"endpoint": "https://127.0.0.1:1"},
}


def settings(kind: str, directory: Path) -> SinkSettings:
    path = {"path": directory / "okta.ndjson"} if kind == "file" else {}
    return registry.SETTINGS[kind].model_validate({"kind": kind, **MINIMAL[kind], **path})


@pytest.mark.parametrize("kind", registry.SETTINGS)
async def test_every_kind_is_built_by_its_name(kind: str, tmp_path: Path) -> None:
    chosen = settings(kind, tmp_path)
    sink = registry.build("siem", chosen, ManualClock())
    assert kind in type(sink).__name__.lower()
    await sink.close()


@pytest.mark.parametrize("kind", ["elasticsearch", "otlp"])
def test_a_ca_file_that_became_unusable_stops_the_sink_and_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.touch()
    chosen = settings(kind, tmp_path).model_copy(update={"ca_file": path})
    with pytest.raises(SinkError, match=f"sinks.siem.ca_file: {path} is empty; write the certificate in PEM"):
        registry.build("siem", chosen, ManualClock())
