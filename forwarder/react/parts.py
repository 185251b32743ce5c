"""What a reload of the settings exchanges under the engine."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from forwarder.core.action import Action, Request
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.react.actions.okta import Act
from forwarder.react.findings import Finding
from forwarder.react.guards.judgement import Judgement
from forwarder.react.prompts.port import Progress


class Judge(Protocol):
    """The guards."""

    async def judge(self, action: Action, now: Micros) -> Judgement:
        """Say whether `action` may be called now."""


class PromptSender(Protocol):
    """Sends prompts and polls them. Nothing raises."""

    async def prepare(self, action: Action) -> Progress | Request:
        """Look up what is needed to ask, and return the call that does; or why there is none."""

    async def send(self, action: Action) -> Progress:
        """Send one prompt, at most once."""

    async def poll(self, action: Action) -> Progress:
        """Ask what the user has answered."""

    async def cancel(self, action: Action) -> None:
        """Withdraw it, where that is possible. Its row stays as it is."""


class Parts(Protocol):
    """All of it, made from one configuration."""

    @property
    def judge(self) -> Judge:
        """The guards."""

    @property
    def acts(self) -> Mapping[str, Act]:
        """By the name of the action; prompts have `prompts`."""

    @property
    def prompts(self) -> PromptSender:
        """What asks users."""

    @property
    def horizon(self) -> Micros:
        """How far back ended actions matter, in microseconds."""

    def plan(self, alert: Event, at: Micros) -> Sequence[Action]:
        """Return the actions that the configuration has for an alert."""

    def answered(self, prompt: Action, answer: str, at: Micros) -> Sequence[Action]:
        """Return those that it has for this answer to `prompt`."""

    def announced(self, action: Action, at: Micros) -> Sequence[Action]:
        """Return the notifications about an action that waits for a human."""

    async def newly_protected(self) -> Sequence[Action]:
        """Return live actions whose target is protected by now."""

    async def findings(self, effects: Sequence[Action]) -> Sequence[Finding]:
        """Return what is wrong with the configuration; `effects` are live."""

    async def close(self) -> None:
        """Close the connections."""
