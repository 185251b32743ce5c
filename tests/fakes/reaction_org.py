"""An emulated org with groups of staff, administrators and break-glass accounts, and a configuration that reacts in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from forwarder.core.ports import Clock
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.groups.groups import EmulatedGroup
from forwarder.emulator.users.directory import EmulatedUser
from tests.fakes.keys import pem, public_pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org

APP = "0oareactions"
SCOPES = (
    "okta.logs.read",
    "okta.users.manage",
    "okta.groups.manage",
    "okta.networkZones.manage",
    "okta.roles.read",
    "okta.userRisk.manage",
    "okta.securityEventsProviders.read",
)
RULE = """
title: Session from a proxy
id: 5a1c9d0e-3b7f-4a52-9c41-7e2f0b6d8a13
level: critical
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: user.session.start, securityContext.isProxy: 'true'}
  condition: selection
"""


@dataclass
class ReactionOrg:
    """An org and a configuration for it.

    Attributes:
        reactions: the section of the configuration.
        org_settings: of `orgs.acme`.
    """

    org: Emulator
    folder: Path
    reactions: dict[str, Any]
    org_settings: dict[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        """Write the configuration."""
        (self.folder / "rule.yml").write_text(RULE)
        acme = {"url": self.org.settings.url, "api": self.app()} | self.org_settings
        tree = {
            "orgs": {"acme": acme},
            "rules": {"files": [str(self.folder / "rule.yml")]},
            "reactions": self.reactions,
            "store": {"path": str(self.folder / "s.db")},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "x.ndjson")}},
        }
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(tree))
        return config

    def app(self, **changes: Any) -> dict[str, Any]:
        """Return the credentials of the service app."""
        api = {"client_id": APP, "private_key": pem(rsa_key()), "scopes": list(SCOPES), "dpop": False}
        return api | changes

    def group(self, name: str, *members: str, **changes: Any) -> EmulatedGroup:
        """Return a group, made if it is missing, with these members."""
        known = [group for group in self.org.groups.all() if group.name == name]
        group = known[0] if known else self.org.groups.create(name)
        group.members |= {self.user(login).id for login in members}
        for key, value in changes.items():
            setattr(group, key, value)
        return group

    def user(self, login: str) -> EmulatedUser:
        """Return a user, made if it is missing."""
        for user in self.org.users.all():
            if user.login == login:
                return user
        return self.org.users.create(login, login.partition("@")[0])


@asynccontextmanager
async def reaction_org(folder: Path, clock: Clock | None = None, **client: Any) -> AsyncIterator[ReactionOrg]:
    """An org with the groups Everyone, Staff, Admins, Break-glass and Step-up.

    Args:
        folder: of the configuration.
        clock: of the org; None for the real one.
        client: settings of the service app.
    """
    app = {"keys": [public_pem(rsa_key())], "scopes": list(SCOPES), "dpop": False} | client
    async with okta_org(clock, clients={APP: app}) as org:
        for group in list(org.groups.all()):
            org.groups.delete(group)
        for user in org.users.all():
            user.roles = ()
        found = ReactionOrg(org, folder, reactions_of())
        staff = "ann@corp.example", "ben@corp.example"
        found.group("Staff", *staff)
        found.group("Step-up")
        found.group("Operators", "root@corp.example")
        found.user("root@corp.example").roles = ("SUPER_ADMIN",)
        found.group("Admins", "ida@corp.example", roles=("HELP_DESK_ADMIN",))
        found.group("Break-glass", "glass@corp.example")
        everyone = *staff, "root@corp.example", "ida@corp.example", "glass@corp.example"
        found.group("Everyone", *everyone, type="BUILT_IN")
        yield found


def reactions_of(*do: Any, **changes: Any) -> dict[str, Any]:
    """Return a section `reactions` with these actions."""
    actions = do or ("revoke_sessions", {"add_to_group": {"group": "Step-up", "for": "1h"}}, {"suspend": {"for": "1h"}})
    entry = {"level": "critical", "do": list(actions)}
    protect = {"users": ["glass@corp.example"], "groups": ["Break-glass"]}
    return {"mode": "enforce", "protect": protect, "on": [entry]} | changes


ADMIN_TOKEN = TOKEN
"""Of a Super Administrator."""
