"""Plans the actions for an alert. Does no I/O."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from forwarder.core.action import ASKS, KINDS, WITHOUT_USER, Action, ActionState, ActionTarget, Outcome, Reason, key_of
from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.ecs.decode import decode
from forwarder.ecs.fields import object_at
from forwarder.react.ports import KnownRule
from forwarder.react.settings.actions import (
    AddToGroupSettings,
    DoSettings,
    NotifySettings,
    OnSettings,
    PromptSettings,
    RiskEventSettings,
    TimedSettings,
    UserRiskSettings,
)
from forwarder.react.settings.entries import chooses, written_in
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.types import Mode
from forwarder.react.targets import address_of, user_of

_LEVELS = ("low", "medium", "high")


class Plans:
    """Plans the actions for alerts by one configuration.

    Several entries of `reactions.on` may choose one alert, and may have an action in common. A common action is planned
    once for each target. If its settings differ between the entries, the settings of the entry with the stronger mode
    apply. If the modes are equal, the longer time and the higher risk level apply, and a human must approve if one of
    the entries requires an approval.
    """

    def __init__(self, settings: ReactionsSettings, rules: Iterable[KnownRule]) -> None:
        """Plan actions by `settings`. `rules` are the loaded rules."""
        self._settings = settings
        self._rules = {rule.id: rule for rule in rules}

    def mode_of(self, action: Action) -> Mode:
        """Return the mode that this configuration has for `action`, which an earlier one may have planned: the strongest
        mode of the entries that choose its rule and list it; `off` if there is none.

        No entry lists a notification about an approval, so every entry that chooses the rule counts for it.
        """
        rule = self._rules.get(action.rule)
        wanted = None if action.is_about_approval else [action.name, *_path(action.settings)]
        modes = [
            entry.effective(self._settings.mode)
            for entry in (self._entries(rule) if rule is not None else ())
            if action.org in (entry.orgs or (action.org,)) and (wanted is None or wanted in self._identities(entry))
        ]
        return max(modes, key=lambda mode: mode.strength, default=Mode.OFF)

    def plan(self, event: Event, at: Micros) -> list[Action]:
        """Return the actions for an alert, in the order of the configuration.

        If the alert names exactly one target for an action, the action is due immediately. Otherwise, the action is
        returned in the state ENDED, as refused.
        """
        alert = decode(event.body)
        found = alert["forwarder"]["alert"]
        about = found["rule"]
        known = self._rules.get(about["id"])
        name = "" if known is None else known.name
        rule = KnownRule(about["id"], about["title"], about["level"], name, about.get("tags", ()))
        shared = {
            "org": event.org,
            "rule": rule.id,
            "title": rule.title,
            "alert": event.uuid,
            "events": list(found["events"]),
            "published": event.published,
            "late": found.get("late", False),
            "made_by": _made_by(alert),
            "trigger": _text(object_at(found, "trigger").get("eventType")),
            "subject": event.body,
        }
        planned: dict[str, Action] = {}
        for entry in self._entries(rule):
            mode = entry.effective(self._settings.mode)
            if mode is Mode.OFF or event.org not in (entry.orgs or (event.org,)):
                continue
            for do in entry.do:
                target, problem = _about(do.name, do.user, event.uuid, alert)
                settings = settings_of(do, self._settings)
                key = key_of(event.org, event.uuid, do.name, target, _path(settings))
                own = {"key": key, "mode": str(mode)}
                action = _row(do.name, settings, target, problem, shared | own, at)
                other = planned.get(key)
                planned[key] = action if other is None else _merged(other, action)
        return list(planned.values())

    def answered(self, prompt: Action, answer: str, at: Micros) -> list[Action]:
        """Return the actions that follow `answer`, as the settings of `prompt` list them. The target of an action is
        the user who was asked, unless the action has the setting `user`, or is not about a user."""
        alert = decode(prompt.subject) if prompt.subject else {}
        shared = {each: getattr(prompt, each) for each in _SHARED} | {"parent": prompt.key}
        found = []
        for written in prompt.settings.get("then", {}).get(answer, ()):
            settings = dict(written)
            name, where = settings.pop("do"), settings.pop("user", None)
            if answer == "approved" and name != "notify":
                continue  # an attacker who has the user's phone may have approved
            target, problem = prompt.target, "" if prompt.target.id else prompt.detail
            if where or name in WITHOUT_USER:
                target, problem = _about(name, where, prompt.alert, alert)
            key = key_of(prompt.org, prompt.alert, name, target, [answer, *_path(settings)])
            if name == "notify":
                settings["about"] = {"prompt": {"id": prompt.id, "by": prompt.settings.get("by"), "answer": answer}}
            found.append(_row(name, settings, target, problem, shared | {"key": key}, at))
        return found

    def _entries(self, rule: KnownRule) -> list[OnSettings]:
        return [entry for entry in self._settings.on if chooses(entry, rule)]

    def _identities(self, entry: OnSettings) -> list[list[str]]:
        """Return, for each action of `entry`, its name and the settings that are part of its identity."""
        listed = written_in(entry, self._settings.mode, "")
        return [[one.do.name, *_path(settings_of(one.do, self._settings))] for one in listed]


_SHARED = (
    "org", "rule", "title", "alert", "events", "published", "late", "made_by", "trigger", "subject", "mode",
)  # fmt: skip
"""The attributes that an action which follows an answer takes over from the prompt."""


def settings_of(do: DoSettings, reactions: ReactionsSettings) -> dict[str, Any]:
    """Return the settings of an action in the form in which the store keeps them.

    The keys of a prompt are `by`, `message` and `then`; each action in `then` has its name in the key `do`. The keys of
    other actions are `for` (in seconds), `group`, `to` and `level`. If the entry sets `approve`, there is also a key
    `approve`: its value is False, or an object that may have `within`, the time to approve in seconds.
    """
    found: dict[str, Any] = {}
    match do.settings:
        case AddToGroupSettings(for_=seconds, group=group):
            found = {"for": round(seconds), "group": group}
        case TimedSettings(for_=seconds):
            found = {"for": round(seconds)}
        case NotifySettings(to=to):
            found = {"to": to or next(iter(reactions.webhooks), "")}
        case RiskEventSettings(to=to, level=level):
            found = {"to": to or next(iter(reactions.receivers), ""), "level": level}
        case UserRiskSettings(level=level):
            found = {"level": level}
        case PromptSettings() as prompt:
            found = {"by": prompt.by} | ({"message": prompt.message} if prompt.message else {})
            found["then"] = {
                answer: [
                    {"do": each.name, **settings_of(each, reactions)} | ({"user": each.user} if each.user else {})
                    for each in following
                ]
                for answer, following in prompt.then.by_answer()
                if following
            }
    if do.approve is not None:
        within = {} if do.approve.within is None else {"within": round(do.approve.within)}
        found["approve"] = within if do.approve.needed else False
    return found


def _row(
    name: str, settings: Mapping[str, Any], target: ActionTarget, problem: str, shared: Mapping[str, Any], at: Micros
) -> Action:
    row = Action(name=name, kind=KINDS[name], settings=settings, target=target, planned_at=at, due=at, **shared)
    if not problem:
        return row
    return msgspec.structs.replace(
        row, state=ActionState.ENDED, outcome=Outcome.REFUSED, reason=Reason.TARGET, detail=problem, due=None
    )


def _about(name: str, where: str | None, uuid: str, alert: Mapping[str, Any]) -> tuple[ActionTarget, str]:
    if name == "notify":
        return ActionTarget("alert", uuid), ""
    return address_of(alert) if name == "block_ip" else user_of(alert, where)


def _path(settings: Mapping[str, Any]) -> list[str]:
    """Return the settings that are part of an action's identity: the group and the receiver. Two actions with one name
    and one target are different if these settings differ."""
    return [settings[key] for key in ("group", "to") if key in settings]


def _made_by(alert: dict[str, Any]) -> list[str]:
    """Return three ids from an alert, as far as they exist: of the actor, of the API token and of the transaction of
    the alert's last event."""
    actor, transaction = object_at(alert, "actor"), object_at(alert, "transaction")
    detail = object_at(transaction, "detail")
    found = (actor.get("id"), detail.get("requestApiTokenId"), transaction.get("id"))
    return [each for each in found if isinstance(each, str) and each]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _merged(one: Action, other: Action) -> Action:
    """Return one action for two actions that differ only in their settings or modes. The docstring of `Plans` describes
    which settings the returned action has."""
    if one.mode != other.mode:
        return one if Mode(one.mode).strength > Mode(other.mode).strength else other
    settings = dict(one.settings)
    if "for" in settings:
        settings["for"] = max(settings["for"], other.settings["for"])
    if "level" in settings:
        settings["level"] = max(settings["level"], other.settings["level"], key=_LEVELS.index)
    approve = [each.settings.get("approve") for each in (one, other)]
    asking = [wanted for wanted in approve if wanted is not False and (wanted is not None or one.name in ASKS)]
    if asking:
        settings.pop("approve", None)
        settings |= {} if asking[0] is None else {"approve": asking[0]}
    return msgspec.structs.replace(one, settings=settings)
