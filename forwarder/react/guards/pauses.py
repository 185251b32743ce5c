"""Pauses: what an operator switched off for a while. They are kept in the store, and end by themselves."""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.core.action import KINDS, Action
from forwarder.core.time import SECOND, Micros, iso

CURSOR = "reactions.pauses"
"""The name under which the store keeps them, as JSON."""


class Pause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pause.

    Attributes:
        scope: the id of a rule, or the name of an action; empty for all reactions.
        until: when it ends; None if only `resume` ends it.
        by: who paused.
        title: the title of the rule.
    """

    scope: str
    why: str
    at: Micros
    until: Micros | None = None
    by: str = ""
    title: str = ""

    @property
    def text(self) -> str:
        """What is paused, in a sentence for a person, who knows no ids."""
        if not self.scope:
            return "all reactions are paused"
        if self.scope in KINDS:
            return f"the action {self.scope} is paused"
        return f"reactions to the rule {self.title or self.scope} are paused"

    def covers(self, action: Action, now: Micros) -> bool:
        """Whether it stops `action` now. A pause of prompts stops what follows an answer, too: a prompt may have been out
        when the pause began."""
        names = {"", action.rule, action.name} | ({"prompt"} if action.follows_answer else set())
        return self.is_on(now) and self.scope in names

    def is_on(self, now: Micros) -> bool:
        """Whether it has not ended."""
        return self.until is None or now < self.until

    def as_json(self) -> dict[str, Any]:
        """Return it as the status and `forwarder reactions list --json` show it."""
        return {
            "scope": self.scope,
            "text": self.text,
            "why": self.why,
            "by": self.by,
            "since": iso(self.at, "milliseconds"),
            "until": None if self.until is None else iso(self.until, "milliseconds"),
        }


class Pauses(msgspec.Struct, frozen=True):
    """The pauses. A change is a new value, which is stored before it is used."""

    pauses: Sequence[Pause] = ()

    @classmethod
    def load(cls, text: str | None, now: Micros) -> "Pauses":
        """Read what `dump` wrote; None is none. Text that cannot be read pauses everything: it may have been that."""
        try:
            return cls(msgspec.json.decode(text or "[]", type=tuple[Pause, ...]))
        except msgspec.DecodeError:
            why = "the pauses in the store cannot be read; pause again what you want paused, after: forwarder reactions resume"
            return cls((Pause("", why, now),))

    def dump(self) -> str:
        """Write them for the store."""
        return msgspec.json.encode(self.pauses).decode()

    def on(self, now: Micros) -> list[Pause]:
        """Return those that have not ended; one of all reactions first."""
        return sorted((one for one in self.pauses if one.is_on(now)), key=lambda one: one.scope != "")

    def find(self, action: Action, now: Micros) -> Pause | None:
        """Return a pause that stops `action` now."""
        return next((one for one in self.pauses if one.covers(action, now)), None)

    def pause(
        self,
        scope: str,
        why: str,
        now: Micros,
        *,
        seconds: float | None = None,
        by: str = "",
        title: str = "",
    ) -> "Pauses":
        """Pause `scope` for `seconds`, or until `resume`, in place of an earlier pause of the same."""
        until = None if seconds is None else now + round(seconds * SECOND)
        rest = [one for one in self.on(now) if one.scope != scope]
        return Pauses((*rest, Pause(scope, why, now, until, by, title)))

    def resume(self, scope: str | None, now: Micros) -> "Pauses":
        """End the pause of `scope`; without one, every pause."""
        return Pauses(tuple(one for one in self.on(now) if scope is not None and one.scope != scope))
