"""Write docs/configuration.md from the settings: every key, its default, its meaning.

Usage: python tools/make_configuration.py
The meaning of a key stands in the docstring of the section that has it, under `Attributes:`.
"""

import inspect
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from forwarder import settings
from forwarder.http.settings import TlsSettings
from forwarder.okta.settings import ApiSettings, HookSettings, ReconcileSettings
from forwarder.ops.settings import OpsSettings
from forwarder.receive.settings import ReceiverSettings
from forwarder.sink_settings import DeliverySettings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.store.settings import StoreSettings

TARGET = Path(__file__).parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

Made by tools/make_configuration.py from the code. `forwarder check` tells every fault of a file at once.

The file is YAML: `-c FILE`, else `$FORWARDER_CONFIG`, else `config/forwarder.yaml`. The environment lies over it:
`FORWARDER__RECEIVER__LISTEN=0.0.0.0:8080`, lists and mappings as JSON. Unknown keys are refused.

- A **secret** is a string, `{env: NAME}` or `{file: path}`. A changed file takes effect by itself within seconds, and
  so does everything on SIGHUP, except listeners, the store and the set of sinks, which take a restart.
- A **size** has a unit: `10MiB`, `2GB`. A **time** has a unit: `500ms`, `2s`, `5m`, `1h`, `7d`.

"""

SECTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("orgs.NAME", "An Okta org. At least one is needed.", settings.OrgSettings),
    ("orgs.NAME.api", "How Okta's API is reached.", ApiSettings),
    ("orgs.NAME.hook", "The event hook to have.", HookSettings),
    ("receiver", "The listener that Okta posts to.", ReceiverSettings),
    ("receiver.tls", "HTTPS of the receiver.", TlsSettings),
    ("store", "The durable log.", StoreSettings),
    ("sinks.NAME, kind: elasticsearch", "At least one sink is needed.", ElasticsearchSinkSettings),
    (
        "sinks.NAME, kind: otlp",
        "An OpenTelemetry Collector, or another server that accepts OTLP logs.",
        OtlpSinkSettings,
    ),
    ("sinks.NAME, kind: file", "A file of JSON lines (NDJSON) on this machine.", FileSinkSettings),
    (
        "sinks.NAME.delivery",
        "How events are delivered to the sink. Other defaults: `concurrency` 2 for `elasticsearch`; 200 events and 1MiB for `otlp`.",
        DeliverySettings,
    ),
    ("reconcile", "Reading the System Log.", ReconcileSettings),
    ("ops", "Where operators look.", OpsSettings),
    ("log", "The forwarder's own log lines, on stderr.", settings.LogSettings),
]


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, meaning, model in SECTIONS:
        parts.append(f"## `{name}`\n\n{meaning}\n\n| key | default | meaning |\n|---|---|---|\n")
        meanings = _meanings(model)
        parts += [
            f"| `{key}` | {_default(field)} | {meanings.get(key, '')} |\n"
            for key, field in model.model_fields.items()
            if key != "kind"
        ]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value == () or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Key → meaning, from the docstrings of the section and of those that it builds on."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        _, _, listed = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for match in re.finditer(r"^    (\w+): (.+?)(?=^    \w|\Z|^\S)", listed, re.MULTILINE | re.DOTALL):
            text = " ".join(match[2].split())
            found[match[1]] = text[0].upper() + text[1:]
    return found


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
