"""The interfaces of the parts of the engine that processes actions. A reload of the settings replaces these parts, but
not the engine."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from forwarder.core.action import Action, ActionRequest
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.react.actions.okta import Act
from forwarder.react.guards.judgement import Judgement
from forwarder.react.prompts.results import PromptProgress
from forwarder.react.runtime_problems import ReactionFinding


class PromptSender(Protocol):
    """Sends and polls prompts. No method raises an exception for an error of Okta."""

    async def prepare(self, action: Action) -> PromptProgress | ActionRequest:
        """Look up how the user of the prompt `action` can be asked, and return the request that asks the user. If the
        user cannot be asked now, return a PromptProgress that says why."""

    async def send(self, action: Action) -> PromptProgress:
        """Send the prompt `action`; at most one request is sent."""

    async def poll(self, action: Action) -> PromptProgress:
        """Poll for the user's answer."""

    async def cancel(self, action: Action) -> None:
        """Withdraw the prompt, if that is possible. The stored state of the prompt does not change."""


class Parts(Protocol):
    """All parts of the engine that processes actions, made from one configuration."""

    @property
    def acts(self) -> Mapping[str, Act]:
        """The implementation of each action except `prompt`, by the action's name."""

    @property
    def prompts(self) -> PromptSender:
        """The sender of prompts."""

    @property
    def horizon(self) -> Micros:
        """How long the guards need an action after its end, in microseconds."""

    async def judge(self, action: Action, now: Micros) -> Judgement:
        """Let the guards decide whether `action` may be carried out now."""

    def plan(self, alert: Event, at: Micros) -> Sequence[Action]:
        """Return the actions that follow `alert` by the configuration, planned at the time `at`."""

    def answered(self, prompt: Action, answer: str, at: Micros) -> Sequence[Action]:
        """Return the actions that follow `answer` to `prompt`."""

    def announced(self, action: Action, at: Micros) -> Sequence[Action]:
        """Return the notifications about `action`, which waits for approval."""

    async def newly_protected(self) -> Sequence[Action]:
        """Return the actions with a live effect on a target that has become protected."""

    async def findings(self, effects: Sequence[Action]) -> Sequence[ReactionFinding]:
        """Return the problems of the configuration that can be found only at run time. `effects` are the actions whose
        effect is live."""

    async def close(self) -> None:
        """Close the connections."""
