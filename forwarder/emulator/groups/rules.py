"""The rules that put users into groups. The emulated org keeps these rules, but does not run them."""

from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, iso
from forwarder.emulator.events.fixtures import okta_id
from forwarder.emulator.groups.groups import EmulatedGroups
from forwarder.emulator.http.errors import forbidden, invalid
from forwarder.emulator.object_collection import Objects


class RuleSpec(msgspec.Struct, frozen=True):
    """The body of a call that creates a rule; unknown fields are ignored, as in Okta."""

    name: str
    conditions: dict[str, Any]
    actions: dict[str, Any]
    type: str = "group_rule"

    def group_ids(self) -> list[str]:
        """Return the ids of the groups that the rule puts users into."""
        assigned = self.actions.get("assignUserToGroups")
        found = assigned.get("groupIds") if isinstance(assigned, dict) else None
        return [str(group_id) for group_id in found] if isinstance(found, list) else []


class GroupRule(msgspec.Struct):
    """A rule. A new rule is INACTIVE."""

    id: str
    spec: RuleSpec
    created: Micros
    active: bool = False

    def view(self) -> dict[str, Any]:
        """Return the rule as the API shows it."""
        created = iso(self.created, "milliseconds")
        return {
            "id": self.id,
            "type": self.spec.type,
            "name": self.spec.name,
            "status": "ACTIVE" if self.active else "INACTIVE",
            "created": created,
            "lastUpdated": created,
            "conditions": self.spec.conditions,
            "actions": self.spec.actions,
        }


class GroupRules(Objects[GroupRule]):
    """The group rules of an org. Methods raise OktaApiError where Okta would refuse the call."""

    kind = "GroupRule"

    def __init__(self, clock: Clock, random: Random, groups: EmulatedGroups) -> None:
        super().__init__()
        self._clock = clock
        self._random = random
        self._groups = groups

    def create(self, spec: RuleSpec) -> GroupRule:
        """Create a rule."""
        if not 1 <= len(spec.name) <= 50:
            raise invalid("name", "name: must have 1 to 50 characters")
        if not spec.group_ids():
            raise invalid("actions", "actions: assignUserToGroups.groupIds must name a group")
        for group_id in spec.group_ids():
            self._groups.find(group_id)
        rule = GroupRule(okta_id("0pr", self._random), spec, self._clock.now())
        self._by_id[rule.id] = rule
        return rule

    def delete(self, rule: GroupRule) -> None:
        """Delete an INACTIVE rule."""
        if rule.active:
            raise forbidden("An active group rule cannot be deleted.")
        del self._by_id[rule.id]
