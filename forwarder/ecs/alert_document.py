"""Makes the ECS document of an alert. Alerts have a data stream of their own.

The document has the user, the source and the user agent of the event that completed the alert. It has no `okta.*`
fields: Elastic's rules for Okta read `logs-okta*`, and must not treat an alert as an event of Okta.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from forwarder.core.alert import SEVERITIES
from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event
from forwarder.ecs.categories import classes
from forwarder.ecs.document import DocumentOptions, decoded, mapped
from forwarder.ecs.fields import object_at

ALERT_MODULE = "okta_forwarder"
ALERT_DATASET = "okta_forwarder.alert"

_KEPT = ("@timestamp", "ecs", "related", "user", "source", "client", "user_agent")
_TECHNIQUE = re.compile(r"attack\.(t\d{4})(\.\d{3})?", re.IGNORECASE)
_MITRE = "https://attack.mitre.org"
_TACTICS = {
    "reconnaissance": ("TA0043", "Reconnaissance"),
    "resource-development": ("TA0042", "Resource Development"),
    "initial-access": ("TA0001", "Initial Access"),
    "execution": ("TA0002", "Execution"),
    "persistence": ("TA0003", "Persistence"),
    "privilege-escalation": ("TA0004", "Privilege Escalation"),
    "defense-evasion": ("TA0005", "Defense Evasion"),
    "credential-access": ("TA0006", "Credential Access"),
    "discovery": ("TA0007", "Discovery"),
    "lateral-movement": ("TA0008", "Lateral Movement"),
    "collection": ("TA0009", "Collection"),
    "exfiltration": ("TA0010", "Exfiltration"),
    "command-and-control": ("TA0011", "Command and Control"),
    "impact": ("TA0040", "Impact"),
}
"""(ID, name) of each tactic of ATT&CK, by its tag in Sigma. Older rules write `_` instead of `-` in the tag."""


def alert_document(event: Event, options: DocumentOptions) -> dict[str, Any]:
    """Return the document of `event`, an alert. The document has no nulls and no empty objects.

    Raises:
        UnmappableError: the body is not a JSON object, or it is nested too deeply.
    """
    raw = decoded(event)
    try:
        return alert_fields(raw, mapped(raw, event, options), event, options)
    except RecursionError as error:
        raise UnmappableError("the alert is nested too deeply") from error


def alert_fields(
    raw: dict[str, Any], whole: Mapping[str, Any], event: Event, options: DocumentOptions
) -> dict[str, Any]:
    """Return the document of `event`, an alert. `raw` is the decoded body of the alert.

    `whole` is the document that the function `mapped` makes from `raw`, as if the alert were an event of Okta.
    """
    about = object_at(raw, "forwarder", "alert")
    rule, window, trigger = (object_at(about, key) for key in ("rule", "window", "trigger"))
    level = str(rule.get("level", ""))
    made = {key: whole[key] for key in _KEPT if key in whole}
    made["data_stream"] = {"type": "logs", "dataset": ALERT_DATASET, "namespace": options.namespace}
    categories, types = classes(str(trigger.get("eventType", "")))
    made["event"] = whole["event"] | {
        "kind": "alert",
        "module": ALERT_MODULE,
        "dataset": ALERT_DATASET,
        "action": "rule-match",
        "category": list(categories),
        "type": list(types),
        "severity": SEVERITIES.get(level, SEVERITIES["medium"]),
        "start": window.get("start"),
        "end": window.get("end"),
    }
    made["message"] = rule.get("title", "")
    made["tags"] = ["forwarded", "okta-alert", *options.tags]
    references, tags = _items(rule.get("references")), _items(rule.get("tags"))
    made["rule"] = _present(
        id=rule.get("id"), name=rule.get("title"), reference=next(references, None), ruleset=rule.get("ruleset")
    )
    if threat := _threat(tags):
        made["threat"] = threat
    made[ALERT_MODULE] = _present(
        matched=about.get("matched"),
        count=about.get("count"),
        window=window,
        events=about.get("events"),
        code=about.get("code"),
        mode=about.get("mode"),
        held_back=about.get("heldBack"),
        late=about.get("late"),
        group=about.get("group"),
        level=level,
        kind=rule.get("kind", "event"),
        trigger=_present(id=trigger.get("uuid"), action=trigger.get("eventType")),
        org=event.org,
    )
    return made


def _items(value: Any) -> Iterator[Any]:
    return iter(value if type(value) is list else ())


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}


def _threat(tags: Iterable[Any]) -> dict[str, Any]:
    """Return the fields `threat.*` for the ATT&CK tags in `tags`; an empty object if there are none.

    Tactics, techniques and sub-techniques become lists of IDs, names and URLs. Items at the same index belong together.
    """
    tactics: dict[str, str] = {}
    techniques: list[str] = []
    subtechniques: list[str] = []
    for tag in map(str, tags):
        if found := _TECHNIQUE.fullmatch(tag):
            techniques.append(found[1].upper())
            if found[2]:
                subtechniques.append(found[1].upper() + found[2])
        elif tactic := _TACTICS.get(tag.lower().removeprefix("attack.").replace("_", "-")):
            tactics[tactic[0]] = tactic[1]
    threat: dict[str, Any] = {}
    if tactics:
        threat["tactic"] = {
            "id": list(tactics),
            "name": list(tactics.values()),
            "reference": [f"{_MITRE}/tactics/{id_}/" for id_ in tactics],
        }
    if techniques:
        threat["technique"] = _techniques(dict.fromkeys(techniques))
    if subtechniques:
        threat["technique"]["subtechnique"] = _techniques(dict.fromkeys(subtechniques))
    return {"framework": "MITRE ATT&CK", **threat} if threat else {}


def _techniques(ids: Iterable[str]) -> dict[str, Any]:
    listed = list(ids)
    return {"id": listed, "reference": [f"{_MITRE}/techniques/{id_.replace('.', '/')}/" for id_ in listed]}
