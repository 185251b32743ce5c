"""Lists the fields that Okta's LogEvent can have, and checks the names of fields that an operator writes."""

import difflib
from collections.abc import Iterable

_PLACE = ("city", "country", "geolocation.lat", "geolocation.lon", "postalCode", "state")
_HOP = ("ip", "source", "version", *(f"geographicalContext.{name}" for name in _PLACE))
_ENTITY = ("alternateId", "detailEntry.*", "displayName", "id", "type")

_FIELDS = {
    "actor": _ENTITY,
    "authenticationContext": (
        "authenticationProvider",
        "authenticationStep",
        "authenticatorContext.*",
        "credentialProvider",
        "credentialType",
        "externalSessionId",
        "interface",
        "issuer.id",
        "issuer.type",
        "rootSessionId",
        "*",
    ),
    "client": (
        "device",
        "id",
        "ipAddress",
        "userAgent.browser",
        "userAgent.os",
        "userAgent.rawUserAgent",
        "zone",
        *(f"geographicalContext.{name}" for name in _PLACE),
        *(f"ipChain.{name}" for name in _HOP),
    ),
    "debugContext": ("debugData.*",),
    "device": (
        "device_integrator",
        "deviceIntegrator",
        "disk_encryption_type",
        "diskEncryptionType",
        "id",
        "jailbreak",
        "managed",
        "name",
        "os_platform",
        "osPlatform",
        "os_version",
        "osVersion",
        "platform",
        "registered",
        "screen_lock_type",
        "screenLockType",
        "secure_hardware_present",
        "secureHardwarePresent",
        "*",
    ),
    "displayMessage": (),
    "legacyEventType": (),
    "outcome": ("reason", "result"),
    "request": tuple(f"ipChain.{name}" for name in _HOP),
    "securityContext": ("asNumber", "asOrg", "domain", "ipDetails.*", "isProxy", "isp", "*"),
    "severity": (),
    "target": (*_ENTITY, "changeDetails.from.*", "changeDetails.to.*"),
    "transaction": ("detail.*", "id", "type"),
    "version": (),
}
"""The fields of an event, by the first part of their names. `*` stands for fields that Okta does not list, or may
add."""

_LISTS = {"target", "client.ipChain", "request.ipChain"}


def _joined(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _parts_by_path(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        path = ""
        for part in name.split("."):
            known = found.setdefault(path, [])
            if part not in known:
                known.append(part)
            path = _joined(path, part)
    return found


_PARTS = _parts_by_path(
    name for root, rest in _FIELDS.items() for name in (root, *(f"{root}.{inner}" for inner in rest))
)


def unknown_field(name: str) -> str | None:
    """Return an error text if an Okta event cannot have the field `name`; None if an event can have the field.

    `uuid`, `eventType` and `published` count as unknown: they identify an event, so they cannot be redacted.
    """
    path = ""
    parts = name.split(".")
    for at, part in enumerate(parts):
        rest = parts[at + 1 :]
        known = _PARTS.get(path, ["*"])
        if "*" in part:
            right = _joined(path, *(each for each in rest if "*" not in each)) or "a name such as actor.alternateId"
            return f"a name cannot have `*`; write {right}, which includes all fields in it"
        if path in _LISTS and part.isdecimal():
            return f"{path} is a list, and a name applies to each of its items; write {_joined(path, *rest)}"
        if part not in known:
            spelled = {_folded(each): each for each in known if each != "*"}
            near = spelled.get(_folded(part))
            if near is None and "*" not in known:
                near = next(iter(difflib.get_close_matches(part, known, n=1)), None)
                if near is None:
                    return _no_field(path, part, f"known: {', '.join(known)}.")
            if near is not None:
                return _no_field(path, part, f"did you mean {_joined(path, near, *rest)}?")
        path = _joined(path, part)
    return None


def _no_field(path: str, part: str, hint: str) -> str:
    return f"{path or 'an Okta event'} has no field {part}; {hint} Use Okta's names of fields"


def _folded(part: str) -> str:
    return part.lower().replace("_", "").replace("-", "")
