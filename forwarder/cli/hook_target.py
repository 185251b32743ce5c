"""Which org and which hook a command of `forwarder hooks` means, and the way to the org's API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from forwarder.cli.common import choose_org, load_settings
from forwarder.clock import SystemClock
from forwarder.config_types import Secret
from forwarder.core.errors import SettingsError
from forwarder.okta.hooks.admin import HookAdmin
from forwarder.okta.hooks.event_type_presets import faults, resolve
from forwarder.okta.hooks.hook import Wanted
from forwarder.okta.settings import HookSettings
from forwarder.settings import OrgSettings


@dataclass(frozen=True)
class Target:
    """What a command is about.

    Attributes:
        name: of the org.
        org: its settings; `url` and `api` are there.
        rate_share: share of Okta's rate limit that may be used.
        hook_id: the hook that the operator named by its id.
    """

    name: str
    org: OrgSettings
    rate_share: float
    hook_id: str | None = None


def choose(config: Path, name: str | None, hook_id: str | None = None, *, needs_hook: bool = True) -> Target:
    """The org of this name, or the only one that has a hook.

    Args:
        config: the file.
        name: of the org.
        hook_id: of a hook that the operator means instead of the one that `hook` names.
        needs_hook: the command is about one hook.

    Raises:
        SettingsError: it lacks what a command needs.
    """
    target = _choose(config, name, hook_id)
    if missing := _lacks(target, hook=needs_hook and not hook_id):
        raise SettingsError(missing)
    return target


def choose_with_wish(config: Path, name: str | None, hook_id: str | None = None) -> tuple[Target, Wanted]:
    """As `choose`, with the hook that the configuration asks for.

    Raises:
        SettingsError: it lacks what a command needs, or Okta would refuse the hook; all of that at once.
    """
    target = _choose(config, name, hook_id)
    found = _lacks(target, hook=True)
    settings = target.org.hook
    if settings is None:
        raise SettingsError(found)
    path = f"orgs.{target.name}.hook"
    needed, unread = _needed(settings)
    types = resolve(settings.events, needed)
    found += [f"{path}.rules: {fault}" for fault in unread]
    if not unread or types:
        found += [f"{path}.events: {fault}" for fault in faults(types, settings.filters or ())]
    if found:
        raise SettingsError(found)
    # The newest of several live secrets is the last one: a rotation adds it there. The receiver compares without blanks
    # around it, and Okta sends it byte for byte.
    secret = Secret(target.org.secrets[-1].reveal().strip(" \t"))
    return target, Wanted(settings.name, settings.uri, types, target.org.header, secret, settings.filters)


@asynccontextmanager
async def admin_of(target: Target) -> AsyncIterator[HookAdmin]:
    """The hooks of the org, over its API."""
    from forwarder.okta.api.client import OktaClient

    assert target.org.url is not None
    assert target.org.api is not None
    api = OktaClient(target.org.url, target.org.api, target.rate_share, SystemClock())
    try:
        yield HookAdmin(api)
    finally:
        await api.close()


def _choose(config: Path, name: str | None, hook_id: str | None) -> Target:
    settings = load_settings(config)
    name = choose_org(settings, name, lambda org: org.hook)
    return Target(name, settings.orgs[name], settings.reconcile.rate_share, hook_id)


def _lacks(target: Target, *, hook: bool) -> list[str]:
    """What the org's settings lack, one line each."""
    org = target.org
    needs = [
        ("url", "https://acme.okta.com", org.url),
        ("api", "{token: {file: /run/secrets/okta-token}}", org.api),
        ("hook", "{uri: https://hooks.acme.com/okta/events}", org.hook or not hook),
    ]
    return [
        f"orgs.{target.name}.{key}: is needed here, as in {hint}" for key, hint, there in needs if not there
    ]


def _needed(settings: HookSettings) -> tuple[set[str], list[str]]:
    """What the operator's detection rules ask for, as far as hooks carry it; and why some of them cannot be read."""
    from forwarder.rules.coverage import coverage
    from forwarder.rules.files import read_files
    from forwarder.rules.rule import Fault

    needed: set[str] = set()
    beyond: set[str] = set()
    unread = []
    for _, rule in read_files(settings.rules):
        if isinstance(rule, Fault):
            unread.append(f"{rule.place}: {rule.text}")
        elif needs := coverage(rule):
            needed.update(needs.by_hooks)
            beyond.update(needs.only_system_log)
    if beyond:
        note = f"{len(beyond)} of the event types that your rules ask for come by the System Log only, by no hook."
        click.secho(note, fg="yellow", err=True)
    return needed, unread
