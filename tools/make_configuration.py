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
from forwarder.react.settings.limits import LimitsSettings, ProtectSettings
from forwarder.react.settings.receivers import RiskReceiverSettings, SetSettings, WebhookSettings
from forwarder.react.settings.section import CibaSettings, ReactionsSettings
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

The configuration is a YAML file: `-c FILE`, else `$FORWARDER_CONFIG`, else `config/forwarder.yaml`. Environment variables override
it: `FORWARDER__RECEIVER__LISTEN=0.0.0.0:8080`; write lists and mappings as JSON. Unknown keys and keys without a value are
refused; `null` means the same as no key. `forwarder check` reports all problems at once. `forwarder config show` shows every key with its
value, and where the value comes from. An editor can complete and check the file by the [schema](commands.md#config-what-is-in-force).

- A **secret** is a string, `{env: NAME}` or `{file: path}`. The variable or the file contains only the secret, without quotes and
  without `NAME=`; line breaks at its end are dropped.
- A **size** has a unit: `10MiB`, `2GB`; at most `1024TiB`. A **time** has a unit: `500ms`, `2s`, `5m`, `1h`, `7d`; at most `36500d`.
- A relative **path** is relative to the folder in which the forwarder or the command was started (`/` under systemd,
  `/var/lib/forwarder` in the container), not to the folder of the configuration. `~` is not replaced. Write absolute paths, so that all
  commands find the same store.
- **Changes.** A changed file of a secret, certificate, key or `ca_file` takes effect within seconds; for certificates, the log line
  `certificate_replaced` says so. SIGHUP reloads all other settings, except the addresses of the listeners, a change between HTTP and
  HTTPS (`tls`), and the sections `store` and `log`, which need a restart. If `check` would refuse the new configuration, the reload
  changes nothing. A problem that the configuration in force has too, such as a disk that is not mounted, does not prevent a reload.
- **Start.** `run` refuses what `check` refuses, with two exceptions: it starts if a sink cannot write its file now, or if a certificate
  has expired. The log line `config_problem` names these problems.

"""

DELIVERY = """How events are sent to the sink. `elasticsearch` has `concurrency: 2`; `otlp` has `concurrency: 2`,
`batch_events: 100` and `batch_bytes: 1MiB`."""

LIMITS = """The maximum number of actions. A rate is a number and a time, such as `20/1h`; the time slides. Actions above a limit wait
for a human. Each limit counts separately, so that one kind of action cannot use up the limit of another."""

DO = """One action: only its name, such as `revoke_sessions`, or its name with its settings, such as
`{add_to_group: {group: Step-up, for: 24h}}`. `approve` and `user` stand beside the name. `for` is 1m to 30d."""

ACTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("notify", "Short form: `{notify: NAME}`.", NotifySettings),
    ("risk_event", "Short form: `{risk_event: NAME}`.", RiskEventSettings),
    ("user_risk", "Short form: `{user_risk: LEVEL}`.", UserRiskSettings),
    ("add_to_group", "The membership is undone after `for`.", AddToGroupSettings),
    (
        "suspend",
        "The suspension is undone after `for`. `block_ip` has the same key, and its entry in the zone is undone too.",
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
    ("sinks.NAME, kind: otlp", "An OpenTelemetry Collector, or another receiver of OTLP logs.", OtlpSinkSettings),
    ("sinks.NAME, kind: file", "A file of JSON lines.", FileSinkSettings),
    ("sinks.NAME.delivery", DELIVERY, DeliverySettings),
    ("rules", "The rules that the forwarder runs on every event: see docs/rules.md.", RulesSettings),
    ("reactions", "What alerts lead to: see docs/reactions.md.", ReactionsSettings),
    ("reactions.protect", "The users and addresses on which no action is ever done.", ProtectSettings),
    ("reactions.limits", LIMITS, LimitsSettings),
    ("reactions.on[]", "Which alerts lead to which actions.", OnSettings),
    ("reactions.on[].do[]", DO, FirstDoSettings),
    *((f"reactions.on[].do[].{name}", text, model) for name, text, model in ACTIONS),
    ("reactions.on[].do[].prompt", "A question to the user, asked at most once.", PromptSettings),
    ("reactions.on[].do[].prompt.then", "For each answer, a list of actions as in `do`.", ThenSettings),
    ("reactions.ciba", "The app that asks users by CIBA.", CibaSettings),
    ("reactions.webhooks.NAME", "A receiver of signed webhooks: see docs/reactions-receivers.md.", WebhookSettings),
    ("reactions.receivers.NAME", "A receiver of risk events: see docs/reactions-receivers.md.", RiskReceiverSettings),
    ("reactions.set", "The issuer and the key of the risk events.", SetSettings),
    ("reconcile", "Polling of the System Log, for each org with `api`.", ReconcileSettings),
    ("ops", "The listener for operators: health, metrics, status page.", OpsSettings),
    (
        "ops.proxy",
        "A proxy in front of the ops listener that signs users in. With it, users decide about actions under their own names.",
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
