"""Finds settings of the section `reactions` that are valid but unwise. Each warning is one line: path, what is unwise,
hint."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from forwarder.core.action import WITHOUT_USER, EffectKind
from forwarder.react.ports import KnownRule
from forwarder.react.settings.actions import UserRiskSettings
from forwarder.react.settings.entries import WrittenAction, chooses, prompt_of, written
from forwarder.react.settings.problems import OrgAccess
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.types import Mode

_CHATS = ("hooks.slack.com", "webhook.office.com", "discord.com", "chat.googleapis.com")
_LOOK_UPS = (
    ("admins", "okta.roles.read", {"okta.roles.read", "okta.roles.manage"}, "administrators"),
    ("groups", "okta.groups.read", {"okta.groups.read", "okta.groups.manage"}, "members of groups"),
    ("users", "okta.users.read", {"okta.users.read", "okta.users.manage"}, "protected users"),
)
"""For each key of `protect`: the key, the scope to suggest, the scopes that are each enough, and what these scopes let the
forwarder read."""


def warnings(
    reactions: ReactionsSettings, orgs: Mapping[str, OrgAccess], hooked: Collection[str], late: float
) -> Iterator[str]:
    """Yield a warning for each setting that is valid but unwise.

    `hooked` has the names of the orgs whose event hook posts to the forwarder. `late` is the setting `rules.late`, in
    seconds.
    """
    live = [each for each in written(reactions) if each.mode is not Mode.OFF]
    for each in live:
        yield from _about(each)
    for name, webhook in reactions.webhooks.items():
        host = urlsplit(webhook.address[0]).hostname or ""
        if host.endswith(_CHATS):
            yield (
                f"reactions.webhooks.{name}.url: {host} accepts only messages in its own format, and refuses alerts; write the URL "
                "of a receiver that translates them"
            )
    if live and reactions.fresh > late:
        yield "reactions.fresh: is longer than `rules.late`, after which an alert is late anyway; raise `rules.late` too"
    changing = [each for each in live if each.do.kind is not EffectKind.QUIET]
    unconfirmed = {each.do.kind for each in changing} & {EffectKind.TIMED, EffectKind.PROMPT} - set(reactions.confirm)
    if unconfirmed and hooked:
        kinds = " and ".join(sorted(unconfirmed))
        yield (
            f"reactions.confirm: leaves out {kinds}, so anyone who has the hook's secret can cause such actions by events that "
            f"never happened; add {kinds}"
        )
    risks = any(isinstance(each.do.settings, UserRiskSettings) and each.mode is Mode.ENFORCE for each in live)
    if risks and hooked and EffectKind.QUIET not in reactions.confirm:
        yield (
            "reactions.confirm: leaves out quiet, so anyone who has the hook's secret can set the risk of any user by events "
            "that never happened: the risk stays, and no limit applies to user_risk; add quiet"
        )
    if changing and not reactions.protect.admins:
        yield "reactions.protect.admins: is false, so actions can hit administrators; set it to true"
    for name, org in orgs.items():
        concerned = [each for each in changing if name in (each.entry.orgs or orgs)]
        yield from _org(reactions, name, org, [each for each in concerned if each.do.name not in WITHOUT_USER])


def rule_warnings(reactions: ReactionsSettings, rules: Sequence[KnownRule]) -> Iterator[str]:
    """Yield a warning for each entry of `reactions.on` that no alert of `rules` can match."""
    for number, entry in enumerate(reactions.on):
        if not rules or entry.rule is not None:
            continue  # an unknown rule is a problem, not a warning
        chosen = [rule for rule in rules if chooses(entry, rule)]
        key, value = ("tag", entry.tag) if entry.tag else ("level", entry.level)
        path = f"reactions.on[{number}].{key}"
        if not chosen:
            levels = ", ".join(sorted({rule.level for rule in rules if rule.alerts}))
            yield f"{path}: no loaded rule has the {key} {value}, so nothing leads to these actions; write one that rules have: {levels}"
        elif not any(rule.alerts for rule in chosen):
            yield (
                f"{path}: rules with the {key} {value} only feed correlations, and have no alerts of their own, so nothing leads "
                f"to these actions; give the correlation the {key}, or set `generate: true` there"
            )


def _about(each: WrittenAction) -> Iterator[str]:
    prompt = prompt_of(each.do)
    if prompt and prompt.by == "push":
        yield f"{each.named}.by: a push shows no text, so the user cannot see why you ask; to show a text, ask by ciba"
    if each.do.asks and not any(do.name == "notify" for do in each.entry.do):
        yield f"{each.named}: waits for a human, but this entry does not notify anyone; add {{notify: …}} to its `do`"
    if isinstance(each.do.settings, UserRiskSettings):
        yield f"{each.named}: Okta does not allow setting a user's risk back to none; `level: low` is the lowest"


def _org(reactions: ReactionsSettings, name: str, org: OrgAccess, concerned: Sequence[WrittenAction]) -> Iterator[str]:
    if not concerned:
        return
    if not org.knows_itself and any(each.mode is Mode.ENFORCE for each in concerned):
        yield (
            f"orgs.{name}.api.token_id: is not set, so events that the forwarder causes look like those of the "
            "token's admin, and may lead to actions; set it"
        )
    for key, scope, enough, what in _LOOK_UPS:
        if org.scopes is not None and getattr(reactions.protect, key) and not enough & set(org.scopes):
            yield (
                f"orgs.{name}.api.scopes: lacks {scope}, which shows {what} (`protect.{key}`), so every action on a user is "
                "refused; grant it to the app, and add it here"
            )
