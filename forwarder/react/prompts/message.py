"""Makes the text of a CIBA prompt.

Okta does not document how long the text may be, or which characters it may have. If the text has a single `%`, an
iPhone shows no text at all. So only a few characters are permitted. In names, which an attacker may choose, every
character that is not permitted is replaced.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.core.action import Action
from forwarder.core.alert import code_of
from forwarder.core.time import iso
from forwarder.ecs.fields import object_at

MOST = 50
"""The most characters of a text."""

TEMPLATE = "{title} {time} UTC. Was it you"

FIELDS = ("title", "time", "user", "ip", "city", "country")
"""The fields of a template: the rule's title, the time of the last event (UTC), the user's login, and the client's address,
city and country."""

_FIELD = re.compile(r"\{(\w*)\}")
_OTHERS = re.compile(r"[^A-Za-z0-9 .,:-]+")


def template_problem(template: str) -> str | None:
    """Return what is wrong with a template of the configuration; None if it is valid."""
    unknown = [name for name in _FIELD.findall(template) if name not in FIELDS]
    if unknown:
        return f"has an unknown field {{{unknown[0]}}}; use {', '.join(f'{{{name}}}' for name in FIELDS)}"
    fixed = _FIELD.sub("", template)
    if _spelled(fixed) != " ".join(fixed.split()):
        return "has a character other than letters, digits, spaces and . , : - (phones may not show others)"
    if len(fixed) > MOST - len(_ending("0000")):
        return (
            f"is longer than {MOST - len(_ending('0000'))} characters; shorten it, because the code of the alert "
            "follows the text"
        )
    return None


def message_of(action: Action) -> str:
    """Return the text that the user reads: the template, filled with values from the alert, and then the alert's code.
    If the text is too long, the values are shortened."""
    template = str(action.settings.get("message") or TEMPLATE)
    values = {name: _spelled(value) for name, value in _values(action).items()}
    ending = _ending(code_of(action.alert))
    text = _filled(template, values)
    while len(text) > MOST - len(ending) and any(values.values()):
        longest = max(values, key=lambda name: len(values[name]))
        values[longest] = values[longest][:-1]
        text = _filled(template, values)
    return text[: MOST - len(ending)].rstrip(" .,:-") + ending


def _ending(code: str) -> str:
    return f". Code {code}"


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _spelled(_FIELD.sub(lambda found: values.get(found[1], ""), template))


def _values(action: Action) -> dict[str, str]:
    try:
        alert = msgspec.json.decode(action.subject) if action.subject else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        alert = {}
    client = object_at(alert, "client") if isinstance(alert, dict) else {}
    place = object_at(client, "geographicalContext")
    found: dict[str, Any] = {
        "title": action.title,
        "time": iso(action.published, "minutes")[11:16],
        "user": action.target.name,
        "ip": client.get("ipAddress"),
        "city": place.get("city"),
        "country": place.get("country"),
    }
    return {name: value if isinstance(value, str) else "" for name, value in found.items()}


def _spelled(text: str) -> str:
    """Return `text` with permitted characters only: letters lose their accents, and every other character that is not
    permitted becomes a space."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text[:500]) if not unicodedata.combining(each))
    return " ".join(_OTHERS.sub(" ", plain).split())
