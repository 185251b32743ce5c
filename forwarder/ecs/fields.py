"""Where each fact of an Okta event goes: the table that the documents and docs/mapping.md are made of.

What is more than one value read and put elsewhere stands in `document.py`, `debug.py` and `targets.py`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from forwarder.ecs.readers import email, flag, integer, ip, json_object, location, outcome, text


class Field(msgspec.Struct, frozen=True):
    """One fact.

    Attributes:
        okta: its path in the event.
        ecs: the document's fields that get it.
        read: makes it fit the fields, or gives None, and then none of them is there.
    """

    okta: str
    ecs: tuple[str, ...]
    read: Callable[[Any], Any] = text


_DEBUG = "okta.debug_context.debug_data."
_AUTHENTICATION = "okta.authentication_context."

FIELDS: tuple[Field, ...] = (
    Field("uuid", ("okta.uuid", "event.id")),
    Field("eventType", ("okta.event_type", "event.action")),
    Field("displayMessage", ("okta.display_message",)),
    # Who did it. `user.id` stays unset, as in Elastic's documents.
    Field("actor.id", ("okta.actor.id", "client.user.id", "source.user.id")),
    Field("actor.type", ("okta.actor.type",)),
    Field("actor.alternateId", ("okta.actor.alternate_id",)),
    Field("actor.alternateId", ("user.name", "client.user.name", "source.user.name")),
    Field("actor.alternateId", ("user.email", "client.user.email", "source.user.email"), email),
    Field(
        "actor.displayName",
        ("okta.actor.display_name", "user.full_name", "client.user.full_name", "source.user.full_name"),
    ),
    # From where.
    Field("client.id", ("okta.client.id",)),
    Field("client.zone", ("okta.client.zone",)),
    Field("client.device", ("okta.client.device",)),
    Field("client.ipAddress", ("okta.client.ip", "client.ip", "source.ip"), ip),
    Field("client.userAgent.rawUserAgent", ("okta.client.user_agent.raw_user_agent", "user_agent.original")),
    Field("client.userAgent.os", ("okta.client.user_agent.os",)),
    Field("client.userAgent.browser", ("okta.client.user_agent.browser",)),
    Field("client.geographicalContext.city", ("client.geo.city_name",)),
    Field("client.geographicalContext.state", ("client.geo.region_name",)),
    Field("client.geographicalContext.country", ("client.geo.country_name",)),
    Field("client.geographicalContext.geolocation", ("client.geo.location",), location),
    # With what.
    Field("device.id", ("okta.device.id",)),
    Field("device.name", ("okta.device.name",)),
    Field("device.os_platform", ("okta.device.os_platform",)),
    Field("device.os_version", ("okta.device.os_version",)),
    Field("device.managed", ("okta.device.managed",), flag),
    Field("device.registered", ("okta.device.registered",), flag),
    Field("device.jailbreak", ("okta.device.jailbreak",), flag),
    Field("device.secure_hardware_present", ("okta.device.secure_hardware_present",), flag),
    Field("device.disk_encryption_type", ("okta.device.disk_encryption_type",)),
    Field("device.screen_lock_type", ("okta.device.screen_lock_type",)),
    Field("device.device_integrator", ("okta.device.device_integrator",), json_object),
    # What became of it.
    Field("outcome.result", ("okta.outcome.result",)),
    Field("outcome.result", ("event.outcome",), outcome),
    Field("outcome.reason", ("okta.outcome.reason",)),
    Field("transaction.id", ("okta.transaction.id",)),
    Field("transaction.type", ("okta.transaction.type",)),
    Field("transaction.detail.requestApiTokenId", ("okta.transaction.detail.request_api_token_id",)),
    Field("transaction.detail.rootApiTokenId", ("okta.transaction.detail.root_api_token_id",)),
    # How they proved who they are. Elastic lets the interface overwrite the provider; here each has its field.
    Field("authenticationContext.authenticationProvider", (_AUTHENTICATION + "authentication_provider",)),
    Field("authenticationContext.authenticationStep", (_AUTHENTICATION + "authentication_step",), integer),
    Field("authenticationContext.credentialProvider", (_AUTHENTICATION + "credential_provider",)),
    Field("authenticationContext.credentialType", (_AUTHENTICATION + "credential_type",)),
    Field("authenticationContext.externalSessionId", (_AUTHENTICATION + "external_session_id",)),
    Field("authenticationContext.rootSessionId", (_AUTHENTICATION + "root_session_id",)),
    Field("authenticationContext.interface", (_AUTHENTICATION + "interface",)),
    Field("authenticationContext.issuer.id", (_AUTHENTICATION + "issuer.id",)),
    Field("authenticationContext.issuer.type", (_AUTHENTICATION + "issuer.type",)),
    # What Okta knows about the network.
    Field("securityContext.asNumber", ("okta.security_context.as.number",), integer),
    Field(
        "securityContext.asOrg", ("okta.security_context.as.organization.name", "client.as.organization.name")
    ),
    Field("securityContext.domain", ("okta.security_context.domain", "client.domain", "source.domain")),
    Field("securityContext.isp", ("okta.security_context.isp",)),
    Field("securityContext.isProxy", ("okta.security_context.is_proxy",), flag),
    # The part of the debug data that rules and dashboards read.
    Field("debugContext.debugData.deviceFingerprint", (_DEBUG + "device_fingerprint",)),
    Field("debugContext.debugData.requestId", (_DEBUG + "request_id",)),
    Field("debugContext.debugData.requestUri", (_DEBUG + "request_uri",)),
    Field("debugContext.debugData.threatSuspected", (_DEBUG + "threat_suspected",)),
    Field("debugContext.debugData.url", (_DEBUG + "url",)),
    Field("debugContext.debugData.dtHash", (_DEBUG + "dt_hash",)),
    Field("debugContext.debugData.clientSecret", (_DEBUG + "client_secret",)),
    Field("debugContext.debugData.requestedScopes", (_DEBUG + "requested_scopes",)),
    Field("debugContext.debugData.grantedScopes", (_DEBUG + "granted_scopes",)),
    Field("debugContext.debugData.grantType", (_DEBUG + "grant_type",)),
    Field("debugContext.debugData.factor", (_DEBUG + "factor",)),
)


class Draft(dict[str, dict[str, Any]]):
    """A document in the making: its objects by dotted path, each hung into its parent when first asked for.

    `draft["okta.actor"]["id"] = …` makes `{"okta": {"actor": {"id": …}}}`; `draft[""]` is the document.
    """

    def __missing__(self, path: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        self[path] = made
        if path:
            parent, _, name = path.rpartition(".")
            self[parent][name] = made
        return made


_Target = tuple[str, str]  # (object's path, name in it)
_Read = tuple[str, Callable[[Any], Any], tuple[_Target, ...]]  # (key, reader, targets)


def _plan() -> tuple[tuple[tuple[str, ...], tuple[_Read, ...]], ...]:
    """The table by Okta object, so that each object is looked up once for all its fields."""
    by_object: dict[tuple[str, ...], list[_Read]] = {}
    for field in FIELDS:
        *path, key = field.okta.split(".")
        targets = tuple((head, name) for head, _, name in (ecs.rpartition(".") for ecs in field.ecs))
        by_object.setdefault(tuple(path), []).append((key, field.read, targets))
    return tuple((path, tuple(reads)) for path, reads in by_object.items())


_PLAN = _plan()


def copy_fields(raw: dict[str, Any], draft: Draft) -> None:
    """Put every fact of the table that `raw`, a decoded event, holds into `draft`."""
    for path, reads in _PLAN:
        source = object_at(raw, path)
        for key, read, targets in reads if source else ():
            value = source.get(key)
            if value is None or (value := read(value)) is None:
                continue
            for head, name in targets:
                draft[head][name] = value


def object_at(raw: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object at `path`; an empty one where there is none, or something else."""
    for key in path:
        inner = raw.get(key)
        if type(inner) is not dict:
            return {}
        raw = inner
    return raw


def names_under(path: str) -> frozenset[str]:
    """The keys of the Okta object at `path` that the table knows."""
    return frozenset(field.okta[len(path) + 1 :] for field in FIELDS if field.okta.startswith(path + "."))
