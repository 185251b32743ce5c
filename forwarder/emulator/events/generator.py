"""Makes events: believable ones of every type, in both of Okta's shapes, the same ones from the same seed."""

import base64
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from random import Random
from typing import Any

import msgspec

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.time import Micros, to_micros
from forwarder.emulator.events.edge_cases import add_edge_cases
from forwarder.emulator.events.event_context import EventContext, chain_of, client_of, security_of
from forwarder.emulator.events.event_templates import HOOK_TYPES, LOG_ONLY_TYPES, display_message, template_of
from forwarder.emulator.events.fixtures import Fixtures
from forwarder.emulator.events.payloads import hook_shape, timestamp, uuid1_for

_encode = msgspec.json.Encoder().encode

_BEHAVIORS = ("New Geo-Location", "New Device", "New IP", "New State", "New Country", "Velocity", "New City")
_SYSTEM = {
    "id": "00usystem0principal0",
    "type": "SystemPrincipal",
    "alternateId": "system@okta.com",
    "displayName": "Okta System",
    "detailEntry": None,
}


class GeneratedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of the org, encoded.

    Attributes:
        uuid: its id, the same in both shapes.
        event_type: Okta's dotted name.
        published: when it happened.
        hook: the JSON object that hooks carry.
        log: the JSON object that the System Log shows.
    """

    uuid: str
    event_type: str
    published: Micros
    hook: bytes
    log: bytes


class Generator:
    """Events of one org.

    Args:
        random: where all chance comes from.
        origin: the org's address, as debug data tells it.
        edge_case_share: share of events with something unusual in them.
        log_only_share: share of events whose type no hook carries.
        nulls: hooks carry keys without a value too.
    """

    def __init__(
        self,
        random: Random,
        *,
        origin: str,
        edge_case_share: float = 0.0,
        log_only_share: float = 0.0,
        nulls: bool = False,
    ) -> None:
        self._random = random
        self._origin = origin
        self._edge_case_share = edge_case_share
        self._log_only_share = log_only_share
        self._nulls = nulls
        self._fixtures = Fixtures(random)
        self._weights = list(accumulate(template_of(name).weight for name in HOOK_TYPES))

    def event_type(self) -> str:
        """The type of what happens next; common things are common."""
        if self._random.random() < self._log_only_share:
            return self._random.choice(LOG_ONLY_TYPES)
        return self._random.choices(HOOK_TYPES, cum_weights=self._weights)[0]

    def event(self, event_type: str, published: Micros, hook_ids: Sequence[str] = ()) -> GeneratedEvent:
        """Make one event.

        Args:
            event_type: any name.
            published: when it happens; cut to whole milliseconds.
            hook_ids: the hooks that it is meant for; the event names them, as in Okta.
        """
        published -= published % 1000
        uuid = uuid1_for(published, self._random)
        event = {"uuid": uuid, "published": timestamp(published)} | self._event(self._context(event_type))
        if hook_ids:
            event["debugContext"]["debugData"]["targetEventHookIds"] = ",".join(hook_ids)
        nulls = self._nulls
        if self._random.random() < self._edge_case_share:
            nulls = add_edge_cases(event, self._random) or nulls
            published = to_micros(datetime.fromisoformat(event["published"]))
        return GeneratedEvent(
            uuid, event_type, published, _encode(hook_shape(event, nulls=nulls)), _encode(event)
        )

    def report(self, event_type: str, published: Micros, **said: Any) -> GeneratedEvent:
        """Make one event that tells of the org itself.

        Args:
            event_type: any name.
            published: when it happens; cut to whole milliseconds.
            said: top-level fields to replace; `debug` is added to the debug data.
        """
        published -= published % 1000
        uuid = uuid1_for(published, self._random)
        debug = said.pop("debug", {})
        event = (
            {"uuid": uuid, "published": timestamp(published)} | self._event(self._context(event_type)) | said
        )
        event["debugContext"]["debugData"] |= debug
        return GeneratedEvent(uuid, event_type, published, _encode(hook_shape(event)), _encode(event))

    def _context(self, event_type: str) -> EventContext:
        random = self._random
        template = template_of(event_type)
        person = self._fixtures.admin() if template.actor == "admin" else self._fixtures.person()
        failed = random.random() < template.failed
        in_job = template.actor == "system" or (template.actor == "admin" and random.random() < 0.1)
        stranger = template.actor == "user" and random.random() < (0.6 if failed else 0.03)
        network, agent = self._fixtures.stranger() if stranger else (person.network, person.agent)
        return EventContext(
            event_type=event_type,
            template=template,
            person=person,
            network=None if in_job else network,
            agent=agent,
            place=network.place if random.random() < 0.98 else None,
            stranger=stranger,
            failed=failed,
            request_id=self._token(20),
        )

    def _event(self, context: EventContext) -> dict[str, Any]:
        actor = self._actor(context)
        return {
            "eventType": context.event_type,
            "version": "0",
            "displayMessage": display_message(context.event_type),
            "severity": "WARN" if context.failed else context.template.severity,
            "client": client_of(context, actor),
            "device": self._device(context),
            "actor": actor,
            "outcome": self._outcome(context),
            "target": self._targets(context),
            "transaction": self._transaction(context),
            "debugContext": {"debugData": self._debug_data(context)},
            "legacyEventType": context.template.legacy,
            "authenticationContext": self._authentication(context),
            "securityContext": security_of(context.network),
            "insertionTimestamp": None,
            "request": {"ipChain": chain_of(context)},
        }

    def _token(self, size: int) -> str:
        """A random string, as requests and sessions have."""
        return base64.urlsafe_b64encode(self._random.randbytes(size)).decode().rstrip("=")

    def _actor(self, context: EventContext) -> dict[str, Any]:
        if not context.network:
            return dict(_SYSTEM)
        if context.template.actor == "client":
            app = self._fixtures.thing("OAuthClient")
            return app | {"type": "PublicClientApp", "alternateId": app["id"]}
        return context.person.entity()

    def _outcome(self, context: EventContext) -> dict[str, Any]:
        result = context.template.failure if context.failed else context.template.result
        reasons = () if result == "SUCCESS" else context.template.reasons
        return {"result": result, "reason": self._random.choice(reasons) if reasons else None}

    def _targets(self, context: EventContext) -> list[dict[str, Any]] | None:
        subject = context.person if context.template.actor == "user" else self._fixtures.person()
        targets = [self._fixtures.target(kind, subject) for kind in context.template.targets]
        if targets and "changeDetails" in EVENT_TYPES.get(context.event_type, ()):
            before, after = self._random.sample(("ACTIVE", "INACTIVE", "STAGED"), 2)
            targets[0]["changeDetails"] = {
                "from": {"status": before, "zones": {"include": None, "exclude": None}},
                "to": {"status": after, "zones": {"include": ["ALL_ZONES"], "exclude": None}},
            }
        # Okta promises no order, so that nobody may rely on an index.
        self._random.shuffle(targets)
        return targets or None

    def _transaction(self, context: EventContext) -> dict[str, Any]:
        by_token = context.network is not None and self._random.random() < 0.05
        return {
            "type": "WEB" if context.network else "JOB",
            "id": context.request_id,
            "detail": {"requestApiTokenId": self._fixtures.thing("Token")["id"]} if by_token else {},
        }

    def _debug_data(self, context: EventContext) -> dict[str, Any]:
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
            "threatSuspected": "true" if context.stranger and random.random() < 0.3 else "false",
        }
        return data | self._judgement(context) if context.template.signs_in else data

    def _judgement(self, context: EventContext) -> dict[str, str]:
        """How Okta judges a sign-in, in the odd strings that it writes: a Java map, and JSON in a string."""
        random = self._random
        new = 0.7 if context.stranger else 0.04
        found = {name: "POSITIVE" if random.random() < new else "NEGATIVE" for name in _BEHAVIORS}
        positive = sum(result == "POSITIVE" for result in found.values())
        level = "HIGH" if positive > 3 else "MEDIUM" if positive else "LOW"
        reasons = {"HIGH": "Anomalous Location, Anomalous Device", "MEDIUM": "Anomalous Device", "LOW": ""}[
            level
        ]
        judged = {"risk": {"level": level, "reasons": reasons}, "behaviors": found}
        return {
            "authnRequestId": self._token(20),
            "deviceFingerprint": random.randbytes(16).hex(),
            "behaviors": "{" + ", ".join(f"{name}={result}" for name, result in found.items()) + "}",
            "risk": f"{{reasons={reasons}, level={level}}}" if reasons else f"{{level={level}}}",
            "logOnlySecurityData": _encode(judged).decode(),
        }

    def _authentication(self, context: EventContext) -> dict[str, Any]:
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

    def _device(self, context: EventContext) -> dict[str, Any] | None:
        random = self._random
        if not context.template.signs_in or not context.network or random.random() > 0.3:
            return None
        device = self._fixtures.thing("Device")
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
