"""Selects the org and the hook for a command of `forwarder hooks`."""

from dataclasses import dataclass
from pathlib import Path

from forwarder.cli.options import choose_org, load_settings, missing_api_keys
from forwarder.cli.terminal import echo
from forwarder.core.errors import SettingsError
from forwarder.okta.hooks.hook import DesiredHook, desired_hook
from forwarder.settings import OrgSettings


@dataclass(frozen=True)
class HookSelection:
    """The org and the hook that a command works on.

    Attributes:
        org: the settings of the org; `url` and `api` are set.
        rate_share: the share of Okta's rate limit that our calls may use.
        hook_id: the id of a hook that the operator chose; None for the configured hook.
    """

    name: str
    org: OrgSettings
    rate_share: float
    store: Path
    hook_id: str | None = None


def select(config: Path, name: str | None, hook_id: str | None = None, *, needs_hook: bool = True) -> HookSelection:
    """Select the org and the hook for a command.

    Without a `name`, select the only org with the section `hook`. If no org has this section, select the only org. The
    section `hook` is needed, unless `hook_id` is given or `needs_hook` is false.

    Raises:
        SettingsError: `url` or `api` is missing in the org, or `hook` is needed and missing.
    """
    selection = _select(config, name, hook_id)
    if missing := _missing(selection, hook=needs_hook and not hook_id):
        raise SettingsError(missing)
    return selection


def load_desired_hook(config: Path, name: str | None, hook_id: str | None = None) -> tuple[HookSelection, DesiredHook]:
    """Select the org and the hook for a command. Return the selection, and the hook that the configuration describes.

    Raises:
        SettingsError: `url`, `api` or `hook` is missing in the org, or Okta would refuse the hook. The error lists all
            problems.
    """
    from forwarder.okta.hooks.needed_event_types import desired_types

    selection = _select(config, name, hook_id)
    problems = _missing(selection, hook=True)
    settings = selection.org.hook
    if settings is None:
        raise SettingsError(problems)
    path = f"orgs.{selection.name}.hook"
    rules, types, found = desired_types(settings)
    if rules.only_system_log:
        echo(
            f"{len(rules.only_system_log)} of the event types that your rules need are only in the System Log; "
            "hooks do not carry them.",
            fg="yellow",
            err=True,
        )
    problems += [f"{path}.{problem}" for problem in found]
    if problems:
        raise SettingsError(problems)
    return selection, desired_hook(settings, types, selection.org.header, selection.org.secrets)


def _select(config: Path, name: str | None, hook_id: str | None) -> HookSelection:
    settings = load_settings(config)
    name = choose_org(settings, name, lambda org: org.hook)
    return HookSelection(name, settings.orgs[name], settings.reconcile.rate_share, settings.store.path, hook_id)


def _missing(selection: HookSelection, *, hook: bool) -> list[str]:
    """Return a line for each missing key of the org: `url`, `api` and, if the argument `hook` is true, `hook`."""
    missing = missing_api_keys(selection.name, selection.org)
    if hook and not selection.org.hook:
        example = "{uri: https://hooks.acme.com/okta/events}"
        missing.append(f"orgs.{selection.name}.hook: this setting is required for this command, as in {example}")
    return missing
