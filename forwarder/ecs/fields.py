"""The table `FIELDS` says to which fields of a document each value of an Okta event is copied.

docs/mapping.md shows the table. `copy_fields.py` copies the values. `document.py` and `debug_data.py` contain all
mapping that is more than copying.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from forwarder.ecs.value_readers import email, flag, integer, integer32, ip, json_object, location, outcome, text, texts


class Field(msgspec.Struct, frozen=True):
    """One row of the table `FIELDS`.

    Attributes:
        okta: the path of a value in an event.
        ecs: the fields of the document that get the value.
        read: the function that converts the value. If the function returns None, the fields are left out.
    """

    okta: str
    ecs: tuple[str, ...]
    read: Callable[[Any], Any] = text


_DEBUG = "okta.debug_context.debug_data."
_AUTHENTICATION = "okta.authentication_context."
_AUTHENTICATOR = _AUTHENTICATION + "authenticator_context."

FIELDS: tuple[Field, ...] = (
    Field("uuid", ("okta.uuid", "event.id")),
    Field("eventType", ("okta.event_type", "event.action")),
    Field("displayMessage", ("okta.display_message",)),
    # Actor. `user.id` stays unset, as in Elastic's documents.
    Field("actor.id", ("okta.actor.id", "client.user.id", "source.user.id")),
    Field("actor.type", ("okta.actor.type",)),
    Field("actor.alternateId", ("okta.actor.alternate_id",)),
    Field("actor.alternateId", ("user.name", "client.user.name", "source.user.name")),
    Field("actor.alternateId", ("user.email", "client.user.email", "source.user.email"), email),
    Field(
        "actor.displayName",
        ("okta.actor.display_name", "user.full_name", "client.user.full_name", "source.user.full_name"),
    ),
    # Client.
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
    # Device. Newer events write some names in camelCase. If an event has both spellings, the last row decides.
    Field("device.platform", ("okta.device.os_platform",)),
    Field("device.osPlatform", ("okta.device.os_platform",)),
    Field("device.osVersion", ("okta.device.os_version",)),
    Field("device.secureHardwarePresent", ("okta.device.secure_hardware_present",), flag),
    Field("device.diskEncryptionType", ("okta.device.disk_encryption_type",)),
    Field("device.screenLockType", ("okta.device.screen_lock_type",)),
    Field("device.deviceIntegrator", ("okta.device.device_integrator",), json_object),
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
    # Outcome.
    Field("outcome.result", ("okta.outcome.result",)),
    Field("outcome.result", ("event.outcome",), outcome),
    Field("outcome.reason", ("okta.outcome.reason",)),
    Field("transaction.id", ("okta.transaction.id",)),
    Field("transaction.type", ("okta.transaction.type",)),
    Field("transaction.detail.requestApiTokenId", ("okta.transaction.detail.request_api_token_id",)),
    Field("transaction.detail.rootApiTokenId", ("okta.transaction.detail.root_api_token_id",)),
    # Authentication. In Elastic's documents the interface overwrites the provider; here each has its own field.
    Field("authenticationContext.authenticationProvider", (_AUTHENTICATION + "authentication_provider",)),
    Field("authenticationContext.authenticationStep", (_AUTHENTICATION + "authentication_step",), integer32),
    Field("authenticationContext.credentialProvider", (_AUTHENTICATION + "credential_provider",)),
    Field("authenticationContext.credentialType", (_AUTHENTICATION + "credential_type",)),
    Field("authenticationContext.externalSessionId", (_AUTHENTICATION + "external_session_id",)),
    Field("authenticationContext.rootSessionId", (_AUTHENTICATION + "root_session_id",)),
    Field("authenticationContext.interface", (_AUTHENTICATION + "interface",)),
    Field("authenticationContext.issuer.id", (_AUTHENTICATION + "issuer.id",)),
    Field("authenticationContext.issuer.type", (_AUTHENTICATION + "issuer.type",)),
    Field("authenticationContext.authenticatorContext.bindingMethod", (_AUTHENTICATOR + "binding_method",)),
    Field("authenticationContext.authenticatorContext.binaryIdentifier", (_AUTHENTICATOR + "binary_identifier",)),
    Field("authenticationContext.authenticatorContext.validationStatus", (_AUTHENTICATOR + "validation_status",)),
    # What Okta knows about the client's network.
    Field("securityContext.asNumber", ("okta.security_context.as.number",), integer),
    Field("securityContext.asOrg", ("okta.security_context.as.organization.name", "client.as.organization.name")),
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
    Field("debugContext.debugData.requestedScopes", (_DEBUG + "requested_scopes",), texts),
    Field("debugContext.debugData.grantedScopes", (_DEBUG + "granted_scopes",), texts),
    Field("debugContext.debugData.grantType", (_DEBUG + "grant_type",)),
    Field("debugContext.debugData.factor", (_DEBUG + "factor",)),
)


_OBJECTS = {field.rpartition(".")[0] for row in FIELDS for field in row.ecs} | {
    "data_stream",
    "ecs",
    "okta.request",
    "related",
    "source.as.organization",
    "source.geo",
    "user.target.group",
}


def _nesting() -> tuple[tuple[str, str, str], ...]:
    """Return (path, path of the parent, name in the parent) of every object of a document, innermost first."""
    paths = {path.rsplit(".", depth)[0] for path in _OBJECTS for depth in range(path.count(".") + 1)}
    inner_first = sorted(paths - {""}, key=lambda path: (-path.count("."), path))
    return tuple((path, *path.rpartition(".")[::2]) for path in inner_first)


_NESTING = _nesting()
_PATHS = ("", *(path for path, _, _ in _NESTING))


DocumentBuilder = dict[str, dict[str, Any]]
"""A document under construction: its objects, by dotted path. `draft[""]` is the document itself.

All objects exist from the start, so `draft["okta.actor"]["id"]` can be set without a check.
"""


def new_builder() -> DocumentBuilder:
    """Return an empty draft. It has every object that a document can have, each without fields."""
    return {path: {} for path in _PATHS}


def build(draft: DocumentBuilder) -> dict[str, Any]:
    """Return the nested document of `draft`, without empty objects."""
    for path, parent, name in _NESTING:
        if found := draft[path]:
            draft[parent][name] = found
    return draft[""]


def object_at(raw: dict[str, Any], *path: str) -> dict[str, Any]:
    """Return the object at `path` in `raw`; an empty object if there is no object at `path`."""
    for key in path:
        inner = raw.get(key)
        if type(inner) is not dict:
            return {}
        raw = inner
    return raw


def names_under(path: str) -> frozenset[str]:
    """Return the keys of the Okta object at `path` that are in `FIELDS`.

    The path of a key in an inner object has dots, as in `a.b`.
    """
    return frozenset(field.okta[len(path) + 1 :] for field in FIELDS if field.okta.startswith(path + "."))
