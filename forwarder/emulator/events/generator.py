"""Generates realistic events of every type, in Okta's two shapes: for hooks, and for the System Log.

The same seed gives the same events.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from random import Random
from typing import Any

import msgspec

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.time import Micros, iso, to_micros
from forwarder.emulator.events.edge_cases import add_edge_cases
from forwarder.emulator.events.event_templates import (
    HOOK_TYPES,
    LOG_ONLY_TYPES,
    EventTemplate,
    display_message,
    template_of,
)
from forwarder.emulator.events.fixtures import SYSTEM, Agent, ClientNetwork, Fixtures, FixtureUser, hop
from forwarder.emulator.events.payloads import hook_shape, uuid1_for
from forwarder.emulator.events.requested_changes import Change

_encode = msgspec.json.Encoder().encode

_BEHAVIORS = ("New Geo-Location", "New Device", "New IP", "New State", "New Country", "Velocity", "New City")
_RISK_REASONS = {"HIGH": "Anomalous Location, Anomalous Device", "MEDIUM": "Anomalous Device", "LOW": ""}


class GeneratedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of the org.

    Attributes:
        uuid: the event's id, which is the same in both shapes.
        hook: the JSON object that hooks carry.
        log: the JSON object that the System Log shows.
    """

    uuid: str
    event_type: str
    published: Micros
    hook: bytes
    log: bytes


class _Context(msgspec.Struct, frozen=True):
    """The circumstances of one event, drawn once so that the parts of the event agree.

    Attributes:
        network: the client's network; None in a background job, which has no client.
        place: the client's location; None if Okta does not know it.
        impostor: whether someone else acts as `person`.
    """

    event_type: str
    template: EventTemplate
    person: FixtureUser
    network: ClientNetwork | None
    agent: Agent
    place: dict[str, Any] | None
    impostor: bool
    failed: bool
    request_id: str


class Generator:
    """Generates the events of the org at the URL `origin`. `random` is the only source of randomness.

    For the other arguments, see the attributes of `EmulatorSettings`.
    """

    def __init__(
        self,
        random: Random,
        *,
        origin: str,
        edge_case_share: float = 0.0,
        log_only_share: float = 0.0,
        odd_types: bool = True,
    ) -> None:
        self._random = random
        self._origin = origin
        self._edge_case_share = edge_case_share
        self._log_only_share = log_only_share
        self._odd_types = odd_types
        self.fixtures = Fixtures(random)
        self._weights = list(accumulate(template_of(name).weight for name in HOOK_TYPES))

    def event_type(self) -> str:
        """Draw an event type, common types more often."""
        if self._random.random() < self._log_only_share:
            return self._random.choice(LOG_ONLY_TYPES)
        return self._random.choices(HOOK_TYPES, cum_weights=self._weights)[0]

    def event(
        self, event_type: str, published: Micros, hook_ids: Sequence[str] = (), change: Change | None = None
    ) -> GeneratedEvent:
        """Generate one event of any type, even of a type that is not in Okta's catalogue of event types.

        `published` is truncated to milliseconds. As in Okta, the event contains the ids of the hooks that should
        deliver it. `change` is applied to the event in the System Log's shape, after edge cases were added. So an edge
        case never replaces a changed value.
        """
        event = self._event(event_type, published)
        odd = self._random.random() < self._edge_case_share
        nulls = odd and add_edge_cases(event, self._random, odd_types=self._odd_types)
        if change is not None:
            event = change(event)
        if hook_ids:
            event["debugContext"]["debugData"]["targetEventHookIds"] = ",".join(hook_ids)
        return _encoded(event, nulls=nulls)

    def report(self, event_type: str, published: Micros, *, debug: dict[str, str], **fields: Any) -> GeneratedEvent:
        """Generate an event about a change in the org. `debug` is added to the debug data of the event;
        `fields` replace top-level fields of the event."""
        event = self._event(event_type, published) | fields
        event["debugContext"]["debugData"] |= debug
        return _encoded(event)

    def _event(self, event_type: str, published: Micros) -> dict[str, Any]:
        """Generate an event in the System Log's shape. Do not change the order of the random draws: with another order,
        a seed would give other events."""
        uuid = uuid1_for(published - published % 1000, self._random)
        context = self._context(event_type)
        actor = self._actor(context)
        return {
            "uuid": uuid,
            "published": iso(published, "milliseconds"),
            "eventType": event_type,
            "version": "0",
            "displayMessage": display_message(event_type),
            "severity": "WARN" if context.failed else context.template.severity,
            "client": _client(context, actor),
            "device": self._device(context),
            "actor": actor,
            "outcome": self._outcome(context),
            "target": self._targets(context),
            "transaction": self._transaction(context),
            "debugContext": {"debugData": self._debug_data(context)},
            "legacyEventType": context.template.legacy,
            "authenticationContext": self._authentication(context),
            "securityContext": _security(context.network),
            "insertionTimestamp": None,
            "request": {"ipChain": _ip_chain(context)},
        }

    def _context(self, event_type: str) -> _Context:
        random = self._random
        template = template_of(event_type)
        person = self.fixtures.admin() if template.actor == "admin" else self.fixtures.person()
        failed = random.random() < template.failed
        in_job = template.actor == "system" or (template.actor == "admin" and random.random() < 0.1)
        impostor = template.actor == "user" and random.random() < (0.6 if failed else 0.03)
        network, agent = self.fixtures.impostor() if impostor else (person.network, person.agent)
        return _Context(
            event_type=event_type,
            template=template,
            person=person,
            network=None if in_job else network,
            agent=agent,
            place=network.place if random.random() < 0.98 else None,
            impostor=impostor,
            failed=failed,
            request_id=self._token(20),
        )

    def _token(self, size: int) -> str:
        """Draw a random string in the form of request and session ids."""
        return base64.urlsafe_b64encode(self._random.randbytes(size)).decode().rstrip("=")

    def _actor(self, context: _Context) -> dict[str, Any]:
        if not context.network:
            return dict(SYSTEM)
        if context.template.actor == "client":
            app = self.fixtures.thing("OAuthClient")
            return app | {"type": "PublicClientApp", "alternateId": app["id"]}
        return context.person.entity()

    def _outcome(self, context: _Context) -> dict[str, Any]:
        template = context.template
        result = template.failure if context.failed else template.result
        reasons = () if result == "SUCCESS" else template.reasons
        return {"result": result, "reason": self._random.choice(reasons) if reasons else None}

    def _targets(self, context: _Context) -> list[dict[str, Any]] | None:
        subject = context.person if context.template.actor == "user" else self.fixtures.person()
        targets = [self.fixtures.target(kind, subject) for kind in context.template.targets]
        if targets and "changeDetails" in EVENT_TYPES.get(context.event_type, ()):
            before, after = self._random.sample(("ACTIVE", "INACTIVE", "STAGED"), 2)
            targets[0]["changeDetails"] = {
                "from": {"status": before, "zones": {"include": None, "exclude": None}},
                "to": {"status": after, "zones": {"include": ["ALL_ZONES"], "exclude": None}},
            }
        # Okta promises no order, so a receiver must not rely on an index.
        self._random.shuffle(targets)
        return targets or None

    def _transaction(self, context: _Context) -> dict[str, Any]:
        by_token = context.network is not None and self._random.random() < 0.05
        return {
            "type": "WEB" if context.network else "JOB",
            "id": context.request_id,
            "detail": {"requestApiTokenId": self.fixtures.thing("Token")["id"]} if by_token else {},
        }

    def _debug_data(self, context: _Context) -> dict[str, Any]:
        random = self._random
        data: dict[str, Any] = {key: random.choice(values) for key, values in context.template.debug.items()}
        if not context.network:
            return data
        path = f"/api/v1/{context.event_type.replace('.', '/')}"
        data |= {
            "requestId": context.request_id,
            "requestUri": path,
            "url": f"{path}?",
            "origin": self._origin,
            "dtHash": random.randbytes(32).hex(),
            "threatSuspected": "true" if context.impostor and random.random() < 0.3 else "false",
        }
        return data | self._risk(context) if context.template.signs_in else data

    def _risk(self, context: _Context) -> dict[str, str]:
        """Build the debug data about a sign-in's risk. As in Okta, all values are strings: `risk` and
        `behaviors` look like printed Java maps, and `logOnlySecurityData` contains JSON."""
        random = self._random
        new = 0.7 if context.impostor else 0.04
        behaviors = {name: "POSITIVE" if random.random() < new else "NEGATIVE" for name in _BEHAVIORS}
        positive = sum(result == "POSITIVE" for result in behaviors.values())
        level = "HIGH" if positive > 3 else "MEDIUM" if positive else "LOW"
        reasons = _RISK_REASONS[level]
        return {
            "authnRequestId": self._token(20),
            "deviceFingerprint": random.randbytes(16).hex(),
            "behaviors": "{" + ", ".join(f"{name}={result}" for name, result in behaviors.items()) + "}",
            "risk": f"{{reasons={reasons}, level={level}}}" if reasons else f"{{level={level}}}",
            "logOnlySecurityData": _encode(
                {"risk": {"level": level, "reasons": reasons}, "behaviors": behaviors}
            ).decode(),
        }

    def _authentication(self, context: _Context) -> dict[str, Any]:
        signs_in = context.template.signs_in
        session = ("idx" if context.network else "trs") + self._token(16)
        return {
            "authenticationProvider": "OKTA_AUTHENTICATION_PROVIDER" if signs_in else None,
            "credentialProvider": "OKTA_CREDENTIAL_PROVIDER" if signs_in else None,
            "credentialType": self._random.choice(("PASSWORD", "OTP", "ASSERTION")) if signs_in else None,
            "issuer": None,
            "interface": None,
            "authenticationStep": 0,
            "rootSessionId": session if context.network else None,
            "externalSessionId": session,
        }

    def _device(self, context: _Context) -> dict[str, Any] | None:
        random = self._random
        if not context.template.signs_in or not context.network or random.random() > 0.3:
            return None
        device = self.fixtures.thing("Device")
        return {
            "id": device["id"],
            "name": device["displayName"],
            "os_platform": context.agent[1],
            "os_version": f"{random.randrange(11, 19)}.{random.randrange(9)}",
            "managed": random.random() < 0.6,
            "registered": True,
            "device_integrator": None,
            "disk_encryption_type": random.choice(("ALL_INTERNAL_VOLUMES", "NONE")),
            "screen_lock_type": random.choice(("BIOMETRIC", "PASSCODE")),
            "jailbreak": None,
            "secure_hardware_present": True,
        }


def _encoded(event: dict[str, Any], *, nulls: bool = False) -> GeneratedEvent:
    published = to_micros(datetime.fromisoformat(event["published"]))
    hook = _encode(hook_shape(event, nulls=nulls))
    return GeneratedEvent(event["uuid"], event["eventType"], published, hook, _encode(event))


def _client(context: _Context, actor: dict[str, Any]) -> dict[str, Any]:
    """Build the event's `client`; for a background job, all its values are null."""
    if not context.network:
        return dict.fromkeys(("userAgent", "zone", "device", "id", "ipAddress", "geographicalContext"))
    raw, system, browser, device = context.agent
    return {
        "userAgent": {"rawUserAgent": raw, "os": system, "browser": browser},
        "zone": "null",
        "device": device,
        "id": actor["id"] if actor["type"] == "PublicClientApp" else None,
        "ipAddress": context.network.ip,
        "geographicalContext": context.place,
    }


def _ip_chain(context: _Context) -> list[dict[str, Any]]:
    return [hop(context.network.ip, context.place)] if context.network else []


def _security(network: ClientNetwork | None) -> dict[str, Any]:
    if not network:
        return dict.fromkeys(("asNumber", "asOrg", "isp", "domain", "isProxy"))
    return {
        "asNumber": network.as_number,
        "asOrg": network.isp,
        "isp": network.isp,
        "domain": "example.net",
        "isProxy": network.proxy,
    }
