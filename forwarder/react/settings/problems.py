"""Finds problems within the section `reactions`, and settings that do not fit the orgs or the rules. Each problem is one
line: path, problem, hint."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from forwarder.core.action import WITHOUT_USER
from forwarder.react.ports import KnownRule
from forwarder.react.settings.actions import AddToGroupSettings, NotifySettings, OnSettings, RiskEventSettings
from forwarder.react.settings.entries import WrittenAction, chooses, prompt_of, same_effect, written, written_in
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.types import Mode

SCOPES: Mapping[str, str] = {
    "user_risk": "okta.userRisk.manage",
    "revoke_sessions": "okta.users.manage",
    "universal_logout": "okta.universalLogout.manage",
    "expire_password": "okta.users.manage",
    "add_to_group": "okta.groups.manage",
    "suspend": "okta.users.manage",
    "block_ip": "okta.networkZones.manage",
    "prompt": "okta.users.manage",
}
"""The OAuth scope that each action needs. A prompt needs its scope only if it is a push."""

_CUTOFF = 0.6  # from 0 to 1: the least similarity of a name that is suggested


class OrgAccess(msgspec.Struct, frozen=True):
    """What the forwarder may do in an org.

    Attributes:
        api: whether the forwarder has credentials for the org's API.
        scopes: the scopes of the service app; None if the credential is an API token, which has the rights of its
            admin.
        knows_itself: whether the forwarder can recognise the events that it causes itself, by the id of the app or of
            the token.
    """

    api: bool
    scopes: Sequence[str] | None = None
    knows_itself: bool = True


FactorTypes = Callable[[str], Sequence[str]]
"""A function that takes a rule's id, and returns the event types about factors that the rule can match."""


def problems(reactions: ReactionsSettings) -> Iterator[str]:
    """Yield the problems within the section `reactions`."""
    if reactions.mode is Mode.ENFORCE and not (reactions.protect.users or reactions.protect.groups):
        yield (
            "reactions.protect: `mode: enforce` needs at least one user or group, so that an account is left if all "
            "others are blocked, as in {users: [breakglass@corp.example]}"
        )
    if reactions.receivers and not reactions.set:
        yield "reactions.set: is required for `receivers`, as in {issuer: https://fw.example, key: {file: set.pem}}"
    for number, user in enumerate(reactions.protect.users):
        if "*" in user:
            yield (
                f"reactions.protect.users[{number}]: {user} has a `*`, but patterns are not supported; name each user, or name a group in "
                "`protect.groups`"
            )
    for number, entry in enumerate(reactions.on):
        if entry.mode and entry.mode.strength > reactions.mode.strength:
            yield (
                f"reactions.on[{number}].mode: {entry.mode} is stronger than `reactions.mode: {reactions.mode}`, but "
                "an entry can only be weaker; remove it, or raise `reactions.mode`"
            )
        yield from _conflicts(list(written_in(entry, reactions.mode, f"reactions.on[{number}]")))
    for each in written(reactions):
        yield from _action_problems(reactions, each)


def _action_problems(reactions: ReactionsSettings, each: WrittenAction) -> Iterator[str]:
    do, settings = each.do, each.do.settings
    if each.answer == "approved" and do.name != "notify":
        yield f"{each.named}: after `approved`, only notify may follow, because an attacker may hold the phone; move the action to another answer"
    if isinstance(settings, NotifySettings):
        yield from _receiver_problem(f"{each.named}.to", settings.to, reactions.webhooks, "webhooks")
        if do.approve and do.approve.needed:
            yield f"{each.path}.approve: notify announces approvals, so it cannot wait for an approval itself; remove `approve`"
    if isinstance(settings, RiskEventSettings):
        yield from _receiver_problem(f"{each.named}.to", settings.to, reactions.receivers, "receivers")
    if do.user and do.name in WITHOUT_USER:
        yield f"{each.path}.user: {do.name} does not act on a user; remove `user`"
    spared = {name.casefold() for name in reactions.protect.groups}
    if isinstance(settings, AddToGroupSettings) and settings.group.casefold() in spared:
        yield f"{each.named}.group: {settings.group} is among `reactions.protect.groups`, and no action acts on members of these groups; name another group"
    prompt = prompt_of(do)
    if prompt and prompt.by == "ciba" and not reactions.ciba:
        yield f"{each.named}.by: ciba needs `reactions.ciba`, as in {{client_id: 0oa…, private_key: {{file: ciba.pem}}}}"
    if prompt and prompt.by == "push" and prompt.message:
        yield f"{each.named}.message: a push shows no text; remove `message`, or ask by ciba"


def _receiver_problem(path: str, to: str | None, known: Collection[str], key: str) -> Iterator[str]:
    if to is None and len(known) != 1:
        hint = f"write one of: {', '.join(sorted(known))}" if known else f"add one to `reactions.{key}` first"
        yield f"{path}: is required; {hint}"
    elif to is not None and to not in known:
        yield (
            f"{path}: unknown name {to}: `reactions.{key}` does not define "
            f"it{_did_you_mean(to, known) or '; add it there'}"
        )


_SAME_STATUS = {"suspend", "expire_password"}


def _conflicts(actions: Sequence[WrittenAction], *, across: bool = False) -> Iterator[str]:
    """Yield a problem for each pair of actions about one alert, if the two actions exclude each other, or are one
    action written twice.

    With `across`, the actions come from several entries. An action that is in several entries is carried out only once,
    so it is a problem only if it is a prompt.
    """
    firsts: dict[tuple[str | None, ...], WrittenAction] = {}
    for each in actions:
        asks_user = each.do.name == "prompt"
        first = firsts.setdefault((*same_effect(each.do), each.do.user, each.answer), each)
        if first is not each and (asks_user or not across):
            what = "ask the user twice" if asks_user else "are the same action on the same target"
            yield f"{each.named}: this action and {first.named} {what}; keep one of the two"
    for one, other in _pairs(actions):
        both = {one.do.name, other.do.name}
        suspend = one if one.do.name == "suspend" else other
        if both == _SAME_STATUS:
            yield (
                f"{other.named}: this action and {one.named} replace each other, because a user has only one status in "
                "Okta (suspended, or with an expired password); keep one of the two"
            )
        elif both == {"suspend", "prompt"} and not suspend.do.asks:
            yield (
                f"{other.named}: this action and {one.named} exclude each other, because a suspended user cannot "
                "answer a prompt; put suspend into `then`"
            )


def _pairs(actions: Sequence[WrittenAction]) -> Iterator[tuple[WrittenAction, WrittenAction]]:
    """Yield the pairs of actions that can both be carried out on one user for one alert. A pair is left out if the two
    actions follow different answers to a prompt, or if one action is a prompt and the other action follows this
    prompt."""
    for number, one in enumerate(actions):
        for other in actions[number + 1 :]:
            together = one.answer == other.answer or "" in {one.answer, other.answer}
            follows = "prompt" in {one.do.name, other.do.name} and one.answer != other.answer
            others = one.do.user and other.do.user and one.do.user != other.do.user
            if together and not follows and not others:
                yield one, other


def org_problems(reactions: ReactionsSettings, orgs: Mapping[str, OrgAccess]) -> Iterator[str]:
    """Yield a problem for each thing that an org needs for its actions but does not have, such as a scope. Actions in
    mode `off` are not checked, so that an operator can always switch an action off."""
    for number, entry in enumerate(reactions.on):
        for name in sorted(set(entry.orgs or ()) - orgs.keys()):
            hint = _did_you_mean(name, orgs) or "; remove it, or correct its name"
            yield f"reactions.on[{number}].orgs: unknown org {name}{hint}"
    seen: set[str] = set()
    for each in written(reactions):
        if each.mode is Mode.OFF:
            continue
        names = [name for name in each.entry.orgs or orgs if name in orgs]
        for line in _needs(reactions, each, {name: orgs[name] for name in names}, orgs):
            if line not in seen:
                seen.add(line)
                yield line
    if "confirm" in reactions.model_fields_set and reactions.confirm and not any(org.api for org in orgs.values()):
        yield from {f"reactions.confirm: {_NO_LOG}; set `orgs.NAME.api`, or write `confirm: []`"} - seen


_NO_LOG = "needs the System Log, which is read with an org's `api`"


def _needs(
    reactions: ReactionsSettings, each: WrittenAction, orgs: Mapping[str, OrgAccess], known: Collection[str]
) -> Iterator[str]:
    """Yield a problem for each thing that an org needs for an action but does not have. `orgs` are the orgs of the
    action; `known` has the names of all orgs."""
    do, prompt = each.do, prompt_of(each.do)
    scope = SCOPES.get(do.name) if prompt is None or prompt.by == "push" else None
    for name, org in orgs.items():
        if not org.api and do.kind in reactions.confirm:
            yield (
                f"reactions.confirm: {_NO_LOG}, but {name} has no `api` ({each.named}); set `orgs.{name}.api`, or name only "
                f"orgs that have one in `orgs` of the entry"
            )
        elif not org.api and (scope or do.name == "prompt"):
            yield (
                f"{each.named}: needs the API of {name}; set `orgs.{name}.api`, or name only orgs that have one in `orgs` of "
                "the entry"
            )
        if org.scopes is not None and scope and scope not in org.scopes:
            yield (
                f"orgs.{name}.api.scopes: lacks {scope}, which {do.name} needs ({each.path}); grant it to the app, and "
                "add it here"
            )
    settings = do.settings
    if isinstance(settings, RiskEventSettings):
        to = settings.to or next(iter(reactions.receivers), "")
        receiver = reactions.receivers.get(to)
        if receiver and receiver.org in known and (others := sorted(set(orgs) - {receiver.org})):
            yield (
                f"{each.named}.to: {to} is the org {receiver.org}, which accepts no events about users of {others[0]}; write "
                f"`orgs: [{receiver.org}]` into the entry"
            )
    if prompt and prompt.by == "ciba" and len(orgs) > 1:
        yield (
            f"{each.named}.by: the app of `reactions.ciba` belongs to one org, but this entry is for {', '.join(sorted(orgs))}; "
            "name only the app's org in `orgs` of the entry"
        )


def rule_problems(reactions: ReactionsSettings, rules: Sequence[KnownRule], factor_types: FactorTypes) -> Iterator[str]:
    """Yield a problem for each setting of the section `reactions` that does not fit the loaded rules."""
    if reactions.on and not rules:
        yield "reactions.on: there are no rules whose alerts could lead to actions; set `rules.files`"
        return
    for number, entry in enumerate(reactions.on):
        path = f"reactions.on[{number}]"
        yield from _unknown_rule(path, entry, rules)
        if any(prompt_of(do) for do in entry.do):
            yield from _factor_problems(path, [rule for rule in rules if chooses(entry, rule)], factor_types)
    seen: set[str] = set()
    for rule in rules:
        entries = [
            list(written_in(entry, entry.effective(reactions.mode), f"reactions.on[{number}]"))
            for number, entry in enumerate(reactions.on)
            if chooses(entry, rule)
        ]
        if len(entries) > 1:
            yield from _conflicts_across(entries, seen)


def _conflicts_across(entries: Sequence[Sequence[WrittenAction]], seen: set[str]) -> Iterator[str]:
    alone = {line for each in entries for line in _conflicts(each)}
    for line in _conflicts([action for each in entries for action in each if action.mode is not Mode.OFF], across=True):
        if line not in seen and line not in alone:
            seen.add(line)
            yield line


def _unknown_rule(path: str, entry: OnSettings, rules: Sequence[KnownRule]) -> Iterator[str]:
    found = [rule for rule in rules if chooses(entry, rule)]
    if entry.rule is not None and not found:
        names = [name for rule in rules for name in (rule.name, rule.id) if name]
        titled = [rule for rule in rules if rule.title.lower() == entry.rule.lower()]
        hint = f"; write its {'name' if titled[0].name else 'id'}, {titled[0].name or titled[0].id}" if titled else ""
        hint = hint or _did_you_mean(entry.rule, names) or "; `forwarder rules list` shows the rules"
        yield f"{path}.rule: unknown rule {entry.rule!r}: no loaded rule has this id or name{hint}"
    if entry.rule is not None and found and not found[0].alerts:
        yield (
            f"{path}.rule: {entry.rule} only feeds a correlation, and has no alerts of its own; name the correlation, or "
            "set `generate: true` there"
        )
    if entry.tag is not None and not found:
        tags = sorted({tag for rule in rules for tag in rule.tags})
        whole = f"attack.{entry.tag}"
        hint = f"; did you mean {whole}?" if whole in tags else _did_you_mean(entry.tag, tags)
        hint = hint or "; `forwarder rules list` shows the tags"
        yield f"{path}.tag: unknown tag {entry.tag}: no loaded rule has this tag{hint}"


def _factor_problems(path: str, rules: Iterable[KnownRule], factor_types: FactorTypes) -> Iterator[str]:
    for rule in rules:
        if rule.alerts and (types := factor_types(rule.id)):
            more = f" and {len(types) - 1} more" if len(types) > 1 else ""
            yield (
                f"{path}.do: a prompt cannot follow the rule {rule.title!r}, which can match events about factors "
                f"({types[0]}{more}): the answer to the prompt is such an event too. Name rules that cannot match them, or "
                "leave out the prompt"
            )


def _did_you_mean(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=_CUTOFF)
    near = near or difflib.get_close_matches(name.lower(), known, n=1, cutoff=_CUTOFF)
    return f"; did you mean {near[0]}?" if near else ""
