"""The actions as they are written in `reactions.on`, each with its path in the configuration."""

from collections.abc import Iterator, Sequence

import msgspec

from forwarder.react.ports import KnownRule
from forwarder.react.settings.actions import (
    AddToGroupSettings,
    DoSettings,
    FirstDoSettings,
    NotifySettings,
    OnSettings,
    PromptSettings,
    RiskEventSettings,
)
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.types import Mode


class WrittenAction(msgspec.Struct, frozen=True):
    """One action of one entry.

    Attributes:
        path: the path of the action in the configuration, such as `reactions.on[0].do[1]`.
        answer: if the action follows a prompt, the answer to the prompt that leads to the action; else empty.
        mode: the mode that applies to the action.
    """

    path: str
    entry: OnSettings
    do: DoSettings
    mode: Mode
    answer: str = ""

    @property
    def named(self) -> str:
        """The path with the action's name, such as `reactions.on[0].do[1].suspend`."""
        return f"{self.path}.{self.do.name}"


def prompt_of(do: DoSettings) -> PromptSettings | None:
    """Return the settings of the prompt, if the action is a prompt; else None."""
    return do.prompt if isinstance(do, FirstDoSettings) else None


def written(reactions: ReactionsSettings) -> Iterator[WrittenAction]:
    """Yield every action in the order of the configuration. The actions that follow a prompt come right after the
    prompt."""
    for number, entry in enumerate(reactions.on):
        yield from written_in(entry, entry.effective(reactions.mode), f"reactions.on[{number}]")


def written_in(entry: OnSettings, mode: Mode, path: str) -> Iterator[WrittenAction]:
    """Yield every action of `entry` in the order of the configuration. The actions that follow a prompt come right
    after the prompt."""
    yield from _listed(entry, entry.do, mode, f"{path}.do")


def _listed(
    entry: OnSettings, items: Sequence[DoSettings], mode: Mode, path: str, answer: str = ""
) -> Iterator[WrittenAction]:
    for number, do in enumerate(items):
        here = f"{path}[{number}]"
        yield WrittenAction(here, entry, do, mode, answer)
        if prompt := prompt_of(do):
            for then, following in prompt.then.by_answer():
                yield from _listed(entry, following, mode, f"{here}.prompt.then.{then}", then)


def chooses(entry: OnSettings, rule: KnownRule) -> bool:
    """Whether `entry` applies to the alerts of `rule`."""
    if entry.rule is not None:
        return entry.rule in {rule.id, rule.name}
    if entry.tag is not None:
        return entry.tag.lower() in {tag.lower() for tag in rule.tags}
    return entry.level == rule.level


def same_effect(do: DoSettings) -> tuple[str, ...]:
    """Return a key that is equal for two actions with the same effect. The key has the action's name and, for some
    actions, the group or the receiver."""
    settings = do.settings
    if isinstance(settings, AddToGroupSettings):
        return do.name, settings.group
    if isinstance(settings, NotifySettings | RiskEventSettings):
        return do.name, settings.to or ""
    return (do.name,)
