"""Write docs/mapping.md: where each fact of an Okta event goes, in the document and in the log record.

Usage: python tools/make_mapping_table.py
The plain facts come from forwarder/ecs/fields.py, the names of the log record from forwarder/ecs/attributes.py.
`DERIVED` says in words what other code of forwarder/ecs does; a test holds it to the fields of real documents.
"""

from pathlib import Path

import msgspec

from forwarder.ecs import value_readers
from forwarder.ecs.attributes import attribute_name
from forwarder.ecs.decode import MAX_VALUES
from forwarder.ecs.document import ECS_VERSION
from forwarder.ecs.fields import FIELDS
from forwarder.ecs.value_readers import MAX_KEYS, MAX_NAME, REST

TARGET = Path(__file__).parent.parent / "docs" / "mapping.md"


class Derived(msgspec.Struct, frozen=True):
    """A fact that takes more than reading one value.

    Attributes:
        okta: where it comes from.
        ecs: the document's fields; `*` stands for names that Okta chooses.
        rule: what is done.
        otlp: the log record's part, where it is not an attribute named after the field.
    """

    okta: str
    ecs: tuple[str, ...]
    rule: str
    otlp: str = ""


_DEBUG = "okta.debug_context.debug_data."
_TARGET = ("id", "type", "alternate_id", "display_name", "detailEntry.*", "changeDetails.from.*", "changeDetails.to.*")

DERIVED: tuple[Derived, ...] = (
    Derived("`published`", ("@timestamp",), "Okta's own text if it is in UTC, else converted to UTC", "Timestamp"),
    Derived("(time of receipt)", ("event.created",), "in milliseconds", "ObservedTimestamp"),
    Derived("`severity`", (), "the log record only", "SeverityText, SeverityNumber"),
    Derived("`displayMessage`", (), "the log record only; without one, the event type", "Body"),
    Derived("(constant)", ("ecs.version",), f"`{ECS_VERSION}`"),
    Derived("(constant)", ("data_stream.type",), "`logs`"),
    Derived("(constant)", ("data_stream.dataset", "event.dataset"), "`okta.system`"),
    Derived("(option `namespace`)", ("data_stream.namespace",), "`default`"),
    Derived("(constant)", ("event.kind",), "`event`"),
    Derived("(constant)", ("event.module",), "`okta`"),
    Derived("`eventType`", ("event.category", "event.type"), "by the rules of `forwarder/ecs/categories.py`"),
    Derived(
        "`eventType`", ("tags",), "`forwarded`, `okta-system`, the tags of Okta's catalogue, those of the option `tags`"
    ),
    Derived("(the event as received)", ("event.original",), "only with the option `preserve_original_event`"),
    Derived(
        "`request.ipChain[]` (System Log), `client.ipChain[]` (event hook)",
        ("okta.request.ip_chain",),
        "the keys of inner objects become snake_case",
        "`okta.request.ip_chain.*`",
    ),
    Derived(
        "`target[]`",
        tuple(f"okta.target.{name}" for name in _TARGET),
        "in Okta's order; of the details, only how the user signed in; changed values become text",
    ),
    Derived("`target[]`, the first `User`", ("user.target.full_name", "user.target.id"), "found by type"),
    Derived("`target[]`, the first `UserGroup`", ("user.target.group.name", "user.target.group.id"), "found by type"),
    Derived("other keys of `device`", ("okta.device.*",), "under Okta's names"),
    Derived(
        "`debugContext.debugData`",
        (_DEBUG + "flattened",),
        "the whole object under Okta's names; objects in strings are parsed. With the option "
        "`remove_flattened_debug`, and in the log record, each key has its own field instead; "
        "spaces and dashes become underscores",
        f"`{_DEBUG}*`",
    ),
    Derived(
        "`risk.level` of `logOnlySecurityData`, else of `debugData`", (_DEBUG + "risk_level",), "read from the string"
    ),
    Derived(
        "`risk.reasons` of `logOnlySecurityData`, else of `debugData`",
        (_DEBUG + "risk_reasons",),
        "split at the commas",
    ),
    Derived(
        "`debugContext.debugData.behaviors`", (_DEBUG + "risk_behaviors",), "the names of those that are `POSITIVE`"
    ),
    Derived(
        "`actor.displayName`, the first user of `target[]`, `actor.alternateId`", ("related.user",), "each name once"
    ),
    Derived("`client.ipAddress`", ("related.ip",), "when it is an address"),
    Derived(
        "`client.geographicalContext`, `securityContext`",
        ("source.geo.*", "source.as.*"),
        "only with the option `okta_geo`; else the server's ingest pipeline fills them from its GeoIP databases",
    ),
    Derived("(the server)", ("event.ingested",), "the time of indexing, by the ingest pipeline"),
    Derived("(the server)", ("user_agent.*",), "`user_agent.original` taken apart, by the ingest pipeline"),
)

DIFFERENCES: dict[str, tuple[str, str]] = {
    "server_side": (
        "`source.geo.*`, `source.as.*`, `user_agent.*`",
        "the server's ingest pipeline adds them, from its own databases; it parses 512 characters of a user agent",
    ),
    "constants": (
        "`data_stream.*`, `event.module`, `event.dataset`, `event.created`",
        "the sink sets them, because no agent and no package does; rules filter on `data_stream.dataset` and `event.dataset`",
    ),
    "email": ("`user.email`", "as in the newest package, because a rule reads it; older packages do not set it"),
    "whole_login": (
        "`user.name`",
        "the whole login, as in the newest package, so that users of two domains differ; older packages cut it",
    ),
    "classes": (
        "`event.category`, `event.type`",
        "every event type has them, also types that the newest package does not know",
    ),
    "tags": ("`tags`", "the tags of Okta's catalogue, as in the newest package, and the first two tags of the agent"),
    "snake_case": (
        "`okta.debug_context.debug_data.client_secret`, `.grant_type`, `.granted_scopes`, `.requested_scopes`",
        "also with `remove_flattened_debug`; Elastic maps these names, but then writes the values under camelCase names",
    ),
    "as_number": (
        "`okta.security_context.as.number`",
        "a `long`, because numbers above 2,147,483,647 exist; Elastic's is an `integer`",
    ),
    "interface": (
        "`okta.authentication_context.interface`",
        "has `authenticationContext.interface`; Elastic overwrites `authentication_provider` with this value",
    ),
    "authenticator_context": (
        "`okta.authentication_context.authenticator_context.*`",
        "Elastic leaves `authenticatorContext` out",
    ),
    "camel_case_device": (
        "`okta.device.*`",
        "keys of newer events, such as `platform`, `osVersion` and `deviceIntegrator`, have the same fields as their snake_case names",
    ),
    "hook_chain": ("`okta.request.ip_chain`", "also filled from `client.ipChain`, the key in event hooks"),
    "unreadable": (
        "`okta.debug_context.debug_data.*`, `okta.device.device_integrator`, `okta.target`",
        "text that cannot be parsed stays text, and blanks around JSON do not matter; Elastic's pipeline fails in both cases",
    ),
    "odd_keys": (
        "free objects",
        "keys that an index would refuse are changed, and the number of keys is limited (see above)",
    ),
}
"""Where documents differ from Elastic's on purpose: the fields, and how or why. The first ones are those of
`tests/unit/ecs/wanted_differences.py`."""

_HEAD = f"""# Where each fact goes

This page is generated from the code by `python tools/make_mapping_table.py`; a test fails if it is out of date.

An Elasticsearch sink makes an event a document of the [Elastic Common Schema](https://www.elastic.co/docs/reference/ecs). It is the
same document as that of Elastic's own Okta integration, except for [these differences](#where-it-differs-from-elastics-documents).
An OTLP sink makes the event a log record with the same values. Its attributes have
[OpenTelemetry's names](https://opentelemetry.io/docs/specs/semconv/) if OpenTelemetry has names for them. A value that the document
has in several fields has only one attribute. An object becomes one attribute for each of its values. A list of objects becomes one
list for each value; the lists have the same order. The document's id is `uuid`, or org and uuid if there are several orgs.

A value that Okta did not send, or sent empty, has no field. A value of a wrong type loses only its own fields. A key that an index
would refuse is changed: in free objects, a key is cut at {MAX_NAME} characters, NUL becomes U+FFFD, and if a key has a blank part
between dots or more than three dots, each dot becomes `_`. A free object keeps {MAX_KEYS} keys, including those of its inner objects,
small ones first; the others become one text in `{REST}`. If two keys of an object would have the same field, one of them
becomes part of this text too. An event with more than {MAX_VALUES:,} commas becomes a dead letter (`unmappable`), and rules do not
read it, because decoding it would delay answers to Okta. Okta's events have some hundreds.

`version`, `legacyEventType`, `actor.detailEntry`, postal codes outside the IP chain, and every key that no table of this page names
(of `client`, `outcome`, `authenticationContext`, `securityContext`, `transaction.detail`, a target, or the event itself) are left
out, as in Elastic's documents. A file with `format: raw` and the option `preserve_original_event` keep the event as received.

Four keys that Okta added are among them: `securityContext.risk`, `.userBehaviors`, `.ipDetails` and `.botProtection`. Elastic's package has
no fields for them yet; names for `ipDetails` are [proposed](https://github.com/elastic/integrations/issues/18281). Fields under
names of our own would have to be renamed later. The level of risk and the behaviors are in the document
from `debugContext.debugData`, if Okta sends them there too. Rules of the forwarder read all keys of the event.
"""

_ACTIONS = """\
When an action of a reaction waits for approval, gets an outcome, or is undone, the forwarder stores an event with the source `action`
and the type `forwarder.action`. The event has the shape of Okta's events, with the forwarder as the actor and the user as the target.
`forwarder.action` has all about the action, as `forwarder reactions show --json` prints it:

```json
{"uuid": "…", "eventType": "forwarder.action", "published": "2026-01-01T12:00:01.000Z", "severity": "INFO",
 "displayMessage": "Password spray: suspend of jane@corp.example: done",
 "actor": {"id": "okta-forwarder", "type": "Forwarder"}, "target": [{"id": "00u1", "type": "User", "alternateId": "jane@…"}],
 "outcome": {"result": "SUCCESS", "reason": null},
 "forwarder": {"action": {
   "id": "980caaf8bdef", "key": "980caaf8bdef…", "org": "acme", "action": "suspend", "kind": "timed", "mode": "enforce",
   "target": {"kind": "user", "id": "00u1", "name": "jane@corp.example"}, "settings": {"for": 14400},
   "change": "done", "state": "live", "outcome": "done",
   "rule": "…", "title": "Password spray", "alert": "uuid of the alert", "code": "4K7Q", "events": ["uuid", "…"],
   "request": {"to": "acme", "method": "POST", "path": "/api/v1/users/00u1/lifecycle/suspend"},
   "before": {"status": "ACTIVE"}, "after": {"status": "SUSPENDED"},
   "approval": {"until": "…", "by": "ops", "at": "…", "given": true},
   "request_id": "…", "planned_at": "…", "called_at": "…", "seen_at": "…", "undo_due": "…"}}}
```

`change` is `approval` (the action waits for a human), the outcome (`done`, `accepted`, `no_op`, `refused`, `failed`, `unknown`,
`shadow`), or the end of the effect (`undone`, `not_ours`). The same change of the same action has the same `uuid`. A body
or a state of more than 32 KiB is left out: `forwarder reactions show ID` has it. Rules do not read these events.

In Elasticsearch, the event is a document of `logs-okta_forwarder.action-<namespace>`, without fields of `okta.*`. The log record has
the same fields under the same names, with `settings`, `before`, `after` and `request.body` as JSON text.

| event | document |
|---|---|
| (constants) | `event.kind` = `event`, `event.module` = `okta_forwarder` |
| `published`, (time of storing) | `@timestamp`, `event.created` |
| `action` | `event.action`; it also decides `event.category` and `event.type` |
| `change` | `event.outcome`: success (done, accepted, no_op, undone), failure (refused, failed, not_ours), else unknown; `okta_forwarder.action.change` |
| `reason`; for the end of an effect, its cause: `time`, `protected`, `hand` | `event.reason` |
| `displayMessage` | `message` |
| `target`, a user | `user.name`, `user.email`, `related.user`, `okta_forwarder.action.target.*` |
| `target`, an address | `source.ip`, `related.ip`, `okta_forwarder.action.target.*` |
| `rule`, `title` | `rule.id`, `rule.name` |
| `alert`, `events`, org | `okta_forwarder.alert.id`, `okta_forwarder.events`, `okta_forwarder.org` |
| all other keys | `okta_forwarder.action.*` under their names; `settings`, `before`, `after`, `request.body` are `flattened` |
"""

_ALERTS = """\
An alert of a rule is an event of the store with the source `alert` and the type `forwarder.alert`. It repeats actor, client, target
and similar keys of the Okta event that triggered the alert. `forwarder.alert` has what the rule found:

```json
{"uuid": "…", "eventType": "forwarder.alert", "published": "2026-01-01T12:00:00.000Z", "displayMessage": "Password spray",
 "severity": "ERROR", "actor": {}, "client": {}, "device": {}, "target": [], "outcome": {}, "transaction": {},
 "securityContext": {}, "authenticationContext": {},
 "forwarder": {"alert": {
   "rule": {"id": "…", "title": "Password spray", "level": "high", "kind": "value_count", "tags": ["attack.t1110.003"],
            "references": ["https://…"], "ruleset": "password_spray.yml"},
   "group": {"client.ipAddress": "203.0.113.9"},
   "window": {"start": "…", "end": "…", "seconds": 600}, "events": ["uuid", "…"], "code": "4K7Q",
   "count": 12, "matched": 40, "heldBack": 0, "late": false, "mode": "alert",
   "trigger": {"uuid": "…", "eventType": "user.session.start"}}}}
```

`uuid` is computed from org, rule, group and first event, so the same alert always has the same `uuid`. `count` is the number that the
rule's condition compares (events, values or rules in the window). `matched` is the number of all events since the last alert of this
rule and group, and `heldBack` the number of alerts in this time that were not made because of `rules.again`. `events` has the last 100
events of the window. `code` is computed from `uuid`; a prompt by CIBA shows it to the user. If `group` has aliases, `rule.aliases`
names the fields of each alias.

In Elasticsearch, the alert is a document of `logs-okta_forwarder.alert-<namespace>`, without fields of `okta.*`. The log record has
the attributes of user and source as for an event, and the other fields under the same names.

| alert | document |
|---|---|
| (constants) | `event.kind` = `alert`, `event.module` = `okta_forwarder`, `event.action` = `rule-match` |
| `published`, `window` | `@timestamp`, `event.start`, `event.end`, `okta_forwarder.window.*` |
| (time of the alert) | `event.created` |
| `rule.title` | `message`, `rule.name` |
| `rule.level` | `event.severity`: informational and low 21, medium 47, high 73, critical 99; `okta_forwarder.level` |
| `rule.id`, first of `rule.references`, `rule.ruleset`, `rule.kind` | `rule.id`, `rule.reference`, `rule.ruleset`, `okta_forwarder.kind` |
| `rule.tags` of ATT&CK | `threat.framework`, `threat.tactic.*`, `threat.technique.*`, `threat.technique.subtechnique.*` |
| `actor`, `client`, `target` | `user.*`, `source.*`, `client.*`, `user_agent.*`, `related.*`, as for an event |
| `matched`, `count`, `events`, `code`, `mode`, `heldBack`, `late`, `group` | `okta_forwarder.matched`, `.count`, `.events`, `.code`, `.mode`, `.held_back`, `.late`, `.group` |
| `trigger`, org | `okta_forwarder.trigger.id`, `.trigger.action`, `okta_forwarder.org`; the type of the trigger decides `event.category`, `event.type` |
"""

_COLUMNS = "| Okta | document | rule | log record |\n|---|---|---|---|\n"


def page() -> str:
    """The text of docs/mapping.md."""
    plain = [_row(f"`{row.okta}`", row.ecs, _rule(row.read)) for row in FIELDS]
    derived = [_row(row.okta, row.ecs, row.rule, row.otlp) for row in DERIVED]
    read = dict.fromkeys(row.read for row in FIELDS if row.read is not value_readers.text)
    legend = [f"- `{reader.__name__}`: {' '.join((reader.__doc__ or '').split())}" for reader in read]
    differences = [f"| {fields} | {why} |" for fields, why in DIFFERENCES.values()]
    sections = (
        _HEAD,
        "## One value, copied\n",
        f'If the column "rule" is empty, the value becomes text: {_sentence()}\n',
        _COLUMNS + "\n".join(plain) + "\n",
        "\n".join(legend) + "\n",
        "## More than one value\n",
        _COLUMNS + "\n".join(derived) + "\n",
        "## Alerts of rules\n",
        _ALERTS,
        "## What reactions did\n",
        _ACTIONS,
        "## Where it differs from Elastic's documents\n",
        "| fields | difference, and why |\n|---|---|\n" + "\n".join(differences) + "\n",
    )
    return "\n".join(sections)


def _sentence() -> str:
    return (value_readers.text.__doc__ or "").partition(": ")[2]


def _rule(read: object) -> str:
    return "" if read is value_readers.text else f"`{getattr(read, '__name__', '')}`"


def _row(okta: str, ecs: tuple[str, ...], rule: str, otlp: str = "") -> str:
    attributes = dict.fromkeys(name for field in ecs if (name := attribute_name(field)))
    record = otlp or _names(tuple(part for name in attributes for part in _PARTS.get(name, (name,))))
    return f"| {okta} | {_names(ecs)} | {rule} | {record} |"


_PARTS = {"geo.location": ("geo.location.lat", "geo.location.lon")}


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
