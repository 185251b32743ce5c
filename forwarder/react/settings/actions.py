"""The settings of actions: the items of the list `do` in an entry of `reactions.on`, and of the lists in `then` of a
prompt."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from forwarder.config.file import NoValue
from forwarder.config.problems import Name
from forwarder.config.types import Section
from forwarder.core.action import ASKS, KINDS, EffectKind
from forwarder.react.prompts.message import template_problem
from forwarder.react.settings.types import EffectTime, Mode, Text, WrittenApprove, WrittenMode

ANSWERS = ("approved", "denied", "timeout", "unreachable", "unknown")
"""All results of a prompt."""


def _lower(written: Any) -> Any:
    return written.lower() if isinstance(written, str) else written


RiskLevel = Annotated[Literal["low", "medium", "high"], BeforeValidator(_lower)]


def _message(template: str) -> str:
    if problem := template_problem(template):
        raise ValueError(problem)
    return template


class ActionSettings(Section):
    """Base class for the settings of one action."""

    short: ClassVar[str] = ""
    """The key that a value without a key belongs to: `{notify: soc}` means `{notify: {to: soc}}`."""

    @model_validator(mode="before")
    @classmethod
    def _as_mapping(cls, written: Any) -> Any:
        if isinstance(written, NoValue | None):
            return {}
        if isinstance(written, str) and cls.short:
            return {cls.short: written}
        if not isinstance(written, dict):
            return written
        if "for" in written and not any(field.alias == "for" for field in cls.model_fields.values()):
            raise ValueError("this action is never undone, so `for` has no effect; remove `for`")
        return written

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = super().__get_pydantic_json_schema__(schema, handler)
        others: list[JsonSchemaValue] = [{"type": "string"}] if cls.short else []
        if not any(field.is_required() for field in cls.model_fields.values()):
            others.append({"type": "null"})
        return {"anyOf": [described, *others]} if others else described


class NotifySettings(ActionSettings):
    """Notify a webhook.

    Attributes:
        to: the name of a webhook in `webhooks`. May be left out if there is only one webhook.
    """

    short = "to"
    to: Name | None = None


class RiskEventSettings(ActionSettings):
    """Send a security event token.

    Attributes:
        to: the name of a receiver in `receivers`. May be left out if there is only one receiver.
        level: the user's risk: low, medium or high.
    """

    short = "to"
    to: Name | None = None
    level: RiskLevel = "high"


class UserRiskSettings(ActionSettings):
    """Set the user's risk in Okta.

    Attributes:
        level: low, medium or high. Okta does not allow setting the risk back to none.
    """

    short = "level"
    level: RiskLevel = "high"


class PlainSettings(ActionSettings):
    """An action without settings."""


class TimedSettings(ActionSettings):
    """The settings of an action that is undone after a time.

    Attributes:
        for: how long the effect lasts, from 1m to 30d; after that, the effect is undone. Required.
    """

    for_: EffectTime = Field(alias="for")


class AddToGroupSettings(TimedSettings):
    """Add the user to a group.

    Attributes:
        group: name or id of the group. Its type must be OKTA_GROUP; choose a group without roles, rules and apps.
    """

    short = "group"
    group: Text


class DoSettings(Section):
    """One action: its name alone, or a mapping from its name to its settings.

    Attributes:
        notify: send the alert to a webhook.
        risk_event: send a security event token about the user to a receiver.
        user_risk: set the user's risk in Okta.
        revoke_sessions: end the user's sessions and revoke the tokens of apps.
        universal_logout: end the user's sessions in all apps that take part in Universal Logout.
        expire_password: make the user set a new password at the next sign-in.
        add_to_group: add the user to a group, for a time.
        suspend: suspend the user, for a time.
        block_ip: block the address of the alert in the zone `forwarder-blocklist`, for a time.
        approve: whether a human must approve the action: `no`, `yes`, or `{within: 15m}`. Default: `yes` for `suspend`,
            `block_ip` and `expire_password`, `no` for the others. Without `within`, `approve_within` applies.
        user: whether the action is about the user in the `actor` or in the `target` of the alert. The actor or target
            must contain exactly one user. Default: the actor if the actor is a user, else the target.
    """

    notify: NotifySettings | None = None
    risk_event: RiskEventSettings | None = None
    user_risk: UserRiskSettings | None = None
    revoke_sessions: PlainSettings | None = None
    universal_logout: PlainSettings | None = None
    expire_password: PlainSettings | None = None
    add_to_group: AddToGroupSettings | None = None
    suspend: TimedSettings | None = None
    block_ip: TimedSettings | None = None
    approve: WrittenApprove | None = None
    user: Literal["actor", "target"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_mapping(cls, written: Any) -> Any:
        if isinstance(written, str):
            return {written: {}}
        if not isinstance(written, dict):
            return written
        for key in ("for", "group", "to", "by", "then", "within"):
            if key in written:
                raise ValueError(f"`{key}` belongs inside the braces of its action, as in {_PLACES[key]}")
        if "prompt" in written and "prompt" not in cls.model_fields:
            raise ValueError("a prompt cannot follow a prompt; remove this prompt")
        return {
            key: {} if key in KINDS and isinstance(value, NoValue | None) else value for key, value in written.items()
        }

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        named = [name for name in KINDS if getattr(self, name, None) is not None]
        if len(named) != 1:
            text = "names no action" if not named else f"names {' and '.join(named)}"
            raise ValueError(f"{text}; write exactly one action in each item of the list")
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: Any) -> Any:
        return {key: value for key, value in handler(self).items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = super().__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [{"enum": sorted(BARE)}, described]}

    @property
    def name(self) -> str:
        """The name of the action, one of KINDS."""
        return next(name for name in KINDS if getattr(self, name, None) is not None)

    @property
    def kind(self) -> EffectKind:
        return KINDS[self.name]

    @property
    def settings(self) -> ActionSettings:
        found: ActionSettings = getattr(self, self.name)
        return found

    @property
    def asks(self) -> bool:
        """Whether a human must approve the action."""
        return self.name in ASKS if self.approve is None else self.approve.needed


BARE = {"notify", "risk_event", "user_risk", "revoke_sessions", "universal_logout", "expire_password"}
"""Actions that may be written as their name alone."""

_PLACES = {
    "for": "{suspend: {for: 4h}}",
    "group": "{add_to_group: {group: Step-up, for: 24h}}",
    "to": "{notify: soc}",
    "by": "{prompt: {by: push}}",
    "then": "{prompt: {by: push, then: {denied: [revoke_sessions]}}}",
    "within": "{suspend: {for: 4h}, approve: {within: 15m}}",
}


class ThenSettings(Section):
    """The actions that follow a prompt, by its result.

    Attributes:
        approved: the user approved. Only `notify` may follow, because an attacker may hold the phone.
        denied: the user answered that another person caused the alert.
        timeout: the user did not answer in time.
        unreachable: the user could not be asked, for example because the user has no phone.
        unknown: it is not known whether the user was asked or what they answered, for example after a crash.
    """

    approved: tuple[DoSettings, ...] = ()
    denied: tuple[DoSettings, ...] = ()
    timeout: tuple[DoSettings, ...] = ()
    unreachable: tuple[DoSettings, ...] = ()
    unknown: tuple[DoSettings, ...] = ()

    def by_answer(self) -> Iterator[tuple[str, tuple[DoSettings, ...]]]:
        """Yield each answer with the actions that follow it."""
        yield from ((answer, getattr(self, answer)) for answer in ANSWERS)


class PromptSettings(ActionSettings):
    """Ask the user.

    Attributes:
        by: `push` asks in Okta Verify, where your text cannot be shown; `ciba` asks in your own app (see
            `reactions.ciba`).
        message: the template of the text that `ciba` shows. It may have fields of the alert: see docs/reactions.md. By
            default, the text says what happened, and has a code.
        then: the actions that follow each answer.
    """

    short = "by"
    by: Literal["push", "ciba"]
    message: Annotated[Text, AfterValidator(_message)] | None = None
    then: ThenSettings = ThenSettings()


class FirstDoSettings(DoSettings):
    """One action, which may be a prompt.

    Attributes:
        prompt: ask the user, at most once.
    """

    prompt: PromptSettings | None = None


class OnSettings(Section):
    """One entry of `on`: which alerts lead to which actions.

    Attributes:
        rule: name or id of a rule.
        tag: a tag of rules, such as attack.t1621.
        level: a level of rules: informational, low, medium, high or critical. Rules with a higher level are not
            included.
        orgs: only alerts of these orgs. Default: alerts of all orgs.
        mode: a mode weaker than `reactions.mode`, for these alerts only.
        do: the actions. They begin in this order; an action that waits does not delay the actions after it.
    """

    rule: Text | None = None
    tag: Text | None = None
    level: Annotated[Literal["informational", "low", "medium", "high", "critical"], BeforeValidator(_lower)] | None = (
        None
    )
    orgs: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    mode: WrittenMode | None = None
    do: Annotated[tuple[FirstDoSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if sum(each is not None for each in (self.rule, self.tag, self.level)) != 1:
            raise ValueError("set exactly one of `rule`, `tag` and `level`; write a separate entry for each")
        return self

    def effective(self, ceiling: Mode) -> Mode:
        """Return the mode that applies to the entry: the entry's own mode, or `ceiling` if `ceiling` is weaker or the
        entry sets no mode."""
        return ceiling if self.mode is None else min(self.mode, ceiling, key=lambda mode: mode.strength)
