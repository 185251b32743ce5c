"""Pauses. With a pause, an operator switches off some or all reactions. Pauses are stored; a pause with a time limit
ends by itself."""

from collections.abc import Sequence
from typing import Any

import msgspec

from forwarder.core.action import KINDS, Action
from forwarder.core.time import SECOND, Micros, iso

CURSOR = "reactions.pauses"
"""The name under which the store keeps the pauses, as JSON."""


class Pause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pause: some or all reactions are switched off by an operator.

    Attributes:
        scope: the id of a rule, or the name of an action; empty for all reactions.
        until: when the pause ends; None if the pause lasts until an operator ends it.
    """

    scope: str
    why: str
    at: Micros
    until: Micros | None = None
    by: str = ""
    title: str = ""

    @property
    def text(self) -> str:
        """A sentence that tells an operator what is paused. A rule is shown by its title; without a title, by its
        id."""
        if not self.scope:
            return "all reactions are paused"
        if self.scope in KINDS:
            return f"the action {self.scope} is paused"
        return f"reactions to the rule {self.title or self.scope} are paused"

    def covers(self, action: Action, now: Micros) -> bool:
        """Whether the pause stops `action` now. A pause of prompts also stops the actions that follow the answer to a
        prompt, because the prompt may have been sent before the pause."""
        names = {"", action.rule, action.name} | ({"prompt"} if action.follows_answer else set())
        return self.is_on(now) and self.scope in names

    def is_on(self, now: Micros) -> bool:
        """Whether the pause has not ended."""
        return self.until is None or now < self.until

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that the status and `forwarder reactions list --json` show for the pause."""
        return {
            "scope": self.scope,
            "text": self.text,
            "why": self.why,
            "by": self.by,
            "since": iso(self.at, "milliseconds"),
            "until": None if self.until is None else iso(self.until, "milliseconds"),
        }


class Pauses(msgspec.Struct, frozen=True):
    """All pauses of reactions. The object is immutable: a change makes a new object, which is stored before it is
    used."""

    pauses: Sequence[Pause] = ()

    @classmethod
    def load(cls, text: str | None, now: Micros) -> "Pauses":
        """Return the pauses that `dump` wrote as `text`; no pauses if `text` is None. If `text` cannot be read, return
        one pause of all reactions, to be safe."""
        try:
            return cls(msgspec.json.decode(text or "[]", type=tuple[Pause, ...]))
        except msgspec.DecodeError:
            why = "the pauses in the store cannot be read; run `forwarder reactions resume`, then pause again what you want paused"
            return cls((Pause("", why, now),))

    def dump(self) -> str:
        """Return the pauses as JSON for the store."""
        return msgspec.json.encode(self.pauses).decode()

    def on(self, now: Micros) -> list[Pause]:
        """Return the pauses that have not ended, a pause of all reactions first."""
        return sorted((one for one in self.pauses if one.is_on(now)), key=lambda one: one.scope != "")

    def find(self, action: Action, now: Micros) -> Pause | None:
        """Return a pause that stops `action` now; None if there is none."""
        return next((one for one in self.pauses if one.covers(action, now)), None)

    def pause(
        self, scope: str, why: str, now: Micros, *, seconds: float | None = None, by: str = "", title: str = ""
    ) -> "Pauses":
        """Return the current pauses and a new pause of `scope`, which replaces an earlier pause of this scope. Without
        `seconds`, the new pause lasts until an operator ends it."""
        until = None if seconds is None else now + round(seconds * SECOND)
        rest = [one for one in self.on(now) if one.scope != scope]
        return Pauses((*rest, Pause(scope, why, now, until, by, title)))

    def resume(self, scope: str | None, now: Micros) -> "Pauses":
        """Return the current pauses without the pause of `scope`. If `scope` is None, return an object without any
        pause."""
        return Pauses(tuple(one for one in self.on(now) if scope is not None and one.scope != scope))
