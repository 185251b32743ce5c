"""Write docs/configuration.md from the settings: every key, its default, its meaning.

Usage: python tools/make_configuration.py
The meaning of a key is in the docstring of its section, under `Attributes:`.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from forwarder import settings
from forwarder.config import types as config_types
from forwarder.http.settings import TlsSettings
from forwarder.okta.settings import ApiSettings, HookSettings, ReconcileSettings
from forwarder.okta.zones.settings import BlocklistSettings, ZoneSettings
from forwarder.ops.settings import OpsSettings, ProxySettings
from forwarder.react.settings.actions import (
    AddToGroupSettings,
    FirstDoSettings,
    NotifySettings,
    OnSettings,
    PromptSettings,
    RiskEventSettings,
    ThenSettings,
    TimedSettings,
    UserRiskSettings,
)
from forwarder.react.settings.limits import CibaSettings, LimitsSettings, ProtectSettings
from forwarder.react.settings.section import (
    ReactionsSettings,
    RiskReceiverSettings,
    SetSettings,
    WebhookSettings,
)
from forwarder.receive.settings import ReceiverSettings
from forwarder.rules.settings import RulesSettings
from forwarder.sink_settings import DeliverySettings
from forwarder.sinks.elasticsearch.settings import BasicAuth, ElasticsearchSinkSettings
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.store.settings import StoreSettings

TARGET = Path(__file__).parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

This page is generated from the code (tools/make_configuration.py).

The configuration is a YAML file: `-c FILE`, else `$FORWARDER_CONFIG`, else `config/forwarder.yaml`. Environment
variables override it: `FORWARDER__RECEIVER__LISTEN=0.0.0.0:8080`; lists and mappings are written as JSON. Unknown keys
are refused. `forwarder check` reports all problems at once, `forwarder config show` every key with its value in force and
where that comes from. An editor completes and checks the file by `config/forwarder.schema.json`, which its first line names
(`forwarder config schema` prints it).

- A **secret** is a string, `{env: NAME}` or `{file: path}`. A changed file takes effect within seconds; so does a changed
  certificate, key or `ca_file` (the log line `certificate_replaced` names it). SIGHUP reloads everything else, except the addresses of the listeners, the store and the
  log, which need a restart. A reload that `check` would refuse changes nothing, except that a problem which the configuration
  in force has as well, such as a disk that is not mounted, keeps no reload out. `run` refuses what `check` refuses, but
  starts with a file that a sink cannot write now and with a certificate that has expired; the log line `config_problem`
  names them.
- A relative **path** counts from the folder in which the forwarder or the command was started, not from the configuration's:
  `/` under systemd, `/var/lib/forwarder` in the container. That holds for every key and every `{file: path}`; `~` is not
  replaced. Write absolute paths, so that commands find the same store from everywhere.
- A **size** has a unit: `10MiB`, `2GB`. A **time** has a unit: `500ms`, `2s`, `5m`, `1h`, `7d`; at most `1024TiB` and `36500d`.

"""

DELIVERY = """How events are sent to the sink. `elasticsearch` has `concurrency: 2`; `otlp` has `concurrency: 2`,
`batch_events: 100` and `batch_bytes: 1MiB`."""

LIMITS = """How many actions there may be. A rate is a count and a time, as in `20/1h`; the time slides. What is over a limit
waits for a human. Each limit counts alone, so that cheap alerts cannot spend the limit of others."""

DO = """One action: a bare word, as in `revoke_sessions`, or its name with its settings, as in
`{add_to_group: {group: Step-up, for: 24h}}`; beside it, `approve` and `user`. `for` is 1m to 30d."""

ACTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("notify", "Short: `{notify: NAME}`.", NotifySettings),
    ("risk_event", "Short: `{risk_event: NAME}`.", RiskEventSettings),
    ("user_risk", "Short: `{user_risk: LEVEL}`.", UserRiskSettings),
    ("add_to_group", "The membership is undone.", AddToGroupSettings),
    (
        "suspend",
        "The suspension is undone; so is the entry of `block_ip`, which has the same key.",
        TimedSettings,
    ),
]

SECTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("orgs.NAME", "An Okta org. At least one is required.", settings.OrgSettings),
    ("orgs.NAME.api", "The credentials for Okta's API.", ApiSettings),
    ("orgs.NAME.hook", "The event hook that the forwarder keeps in Okta.", HookSettings),
    (
        "orgs.NAME.zones.ZONE",
        "A network zone that the org should have as a blocklist: see docs/zones.md.",
        ZoneSettings,
    ),
    ("orgs.NAME.blocklist", "The network zone that the action `block_ip` keeps.", BlocklistSettings),
    ("receiver", "The endpoint that Okta posts to.", ReceiverSettings),
    ("receiver.tls", "HTTPS for this endpoint.", TlsSettings),
    ("store", "The durable log of events.", StoreSettings),
    (
        "sinks.NAME, kind: elasticsearch",
        "An Elasticsearch cluster. At least one sink, of any kind, is required.",
        ElasticsearchSinkSettings,
    ),
    ("sinks.NAME.basic_auth", "A user of Elasticsearch, in place of an API key.", BasicAuth),
    (
        "sinks.NAME, kind: otlp",
        "An OpenTelemetry Collector, or another receiver of OTLP logs.",
        OtlpSinkSettings,
    ),
    ("sinks.NAME, kind: file", "A file of JSON lines.", FileSinkSettings),
    ("sinks.NAME.delivery", DELIVERY, DeliverySettings),
    ("rules", "The rules that the forwarder runs on every event: see docs/rules.md.", RulesSettings),
    ("reactions", "What alerts lead to: see docs/reactions.md.", ReactionsSettings),
    ("reactions.protect", "Whom and what no action ever touches.", ProtectSettings),
    ("reactions.limits", LIMITS, LimitsSettings),
    ("reactions.on[]", "Which alerts lead to which actions.", OnSettings),
    ("reactions.on[].do[]", DO, FirstDoSettings),
    *((f"reactions.on[].do[].{name}", text, model) for name, text, model in ACTIONS),
    ("reactions.on[].do[].prompt", "A question to the user, asked at most once.", PromptSettings),
    ("reactions.on[].do[].prompt.then", "What follows, as lists of actions as in `do`.", ThenSettings),
    ("reactions.ciba", "The app that asks users by CIBA.", CibaSettings),
    (
        "reactions.webhooks.NAME",
        "A receiver of signed webhooks: see docs/reactions-receivers.md.",
        WebhookSettings,
    ),
    (
        "reactions.receivers.NAME",
        "A receiver of risk events: see docs/reactions-receivers.md.",
        RiskReceiverSettings,
    ),
    ("reactions.set", "Who signs the risk events.", SetSettings),
    ("reconcile", "Polling of the System Log, for each org with `api`.", ReconcileSettings),
    ("ops", "The listener for operators: health, metrics, status page.", OpsSettings),
    (
        "ops.proxy",
        "A proxy before the ops listener, such as one that signs people in. With it, they decide under their own names.",
        ProxySettings,
    ),
    ("log", "The forwarder's own log lines, on stderr.", settings.LogSettings),
]


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for name, meaning, model in SECTIONS:
        parts.append(f"## `{name}`\n\n{meaning}\n\n| key | default | meaning |\n|---|---|---|\n")
        texts = config_types.meanings(model)
        parts += [
            f"| `{field.alias or key}` | {_default(field)} | {texts.get(field.alias or key, '')} |\n"
            for key, field in model.model_fields.items()
            if key != "kind"
        ]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def _default(field: FieldInfo) -> str:
    """The default as YAML; empty if there is none, or if it is a section of its own."""
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value == () or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        value = list(value)
    elif not isinstance(value, bool | int | float | dict):
        value = str(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n")
    return f"`{text.strip()}`"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
