"""The interfaces of the parts that the engine uses and that a reload of the settings replaces."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from forwarder.core.action import Action, ActionRequest
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.react.actions.okta import Act
from forwarder.react.guards.judgement import Judgement
from forwarder.react.prompts.results import PromptProgress
from forwarder.react.runtime_problems import ReactionFinding


class Judge(Protocol):
    """The guards."""

    async def judge(self, action: Action, now: Micros) -> Judgement:
        """Decide whether `action` may be carried out now."""


class PromptSender(Protocol):
    """Sends and polls prompts. No method raises for an error of Okta."""

    async def prepare(self, action: Action) -> PromptProgress | ActionRequest:
        """Look up how to ask the user, and return the request that asks; or a Progress that says why the user
        cannot be asked now."""

    async def send(self, action: Action) -> PromptProgress:
        """Send one prompt, at most once."""

    async def poll(self, action: Action) -> PromptProgress:
        """Poll for the user's answer."""

    async def cancel(self, action: Action) -> None:
        """Withdraw the prompt, if that is possible. Its row does not change."""


class Parts(Protocol):
    """All parts, made from one configuration."""

    @property
    def judge(self) -> Judge:
        """The guards."""

    @property
    def acts(self) -> Mapping[str, Act]:
        """The implementation of each action, by name; prompts are not among them."""

    @property
    def prompts(self) -> PromptSender:
        """The sender of prompts."""

    @property
    def horizon(self) -> Micros:
        """How far back ended actions matter, in microseconds."""

    def plan(self, alert: Event, at: Micros) -> Sequence[Action]:
        """Return the actions that the configuration has for `alert`."""

    def answered(self, prompt: Action, answer: str, at: Micros) -> Sequence[Action]:
        """Return the actions that follow `answer` to `prompt`."""

    def announced(self, action: Action, at: Micros) -> Sequence[Action]:
        """Return the notifications about `action`, which waits for approval."""

    async def newly_protected(self) -> Sequence[Action]:
        """Return the live actions whose target has become protected."""

    async def findings(self, effects: Sequence[Action]) -> Sequence[ReactionFinding]:
        """Return the problems of the configuration; `effects` are the live actions."""

    async def close(self) -> None:
        """Close the connections."""
