"""The configuration: a YAML file, and environment variables that override it. All problems are reported at once.

Each room has the settings for its own work. This file combines them, and checks what concerns several rooms.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from forwarder.config.file import ENV_PREFIX, Environment, read_yaml, secrets_unread, without_secrets
from forwarder.config.problems import Describer, Name, causes, with_variable
from forwarder.config.setting_values import leaves
from forwarder.config.types import Secret, Section
from forwarder.config.variables import variable_problems
from forwarder.core.errors import SettingsError
from forwarder.core.event import Source
from forwarder.http.settings import TlsSettings, tls_context
from forwarder.okta.hooks.needed_event_types import desired_types
from forwarder.okta.settings import ApiSettings, HookSettings, OrgUrl, ReconcileSettings
from forwarder.okta.zones.address_ranges import parse_range
from forwarder.okta.zones.settings import ZONE_SCOPE, OrgZones, zone_problems
from forwarder.ops.settings import OpsSettings
from forwarder.react.settings.section import ReactionsSettings
from forwarder.reaction_check import reaction_problems, without_errors
from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings, validate_endpoints
from forwarder.rules.evaluation.ruleset import RuleProblem, Ruleset
from forwarder.rules.files import has_suffix, walk
from forwarder.rules.load import read_rules
from forwarder.rules.settings import RulesSettings
from forwarder.sinks import registry
from forwarder.sinks.file.paths import path_problems
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.store.settings import StoreSettings, store_files

_RULE_SUFFIXES = (".yml", ".yaml", ".toml", ".txt")
RESERVED_SINKS = {"receiver"}  # dead letters of the receiver have this name as their sink


class OrgSettings(HookEndpointSettings, OrgZones):
    """One Okta org.

    Attributes:
        url: the org's own URL, as in https://acme.okta.com. Required for `api` and `hook`.
        api: credentials for Okta's API. With them, the forwarder also reads the org's System Log.
        hook: the event hook that the forwarder keeps in Okta.
    """

    url: OrgUrl | None = None
    api: ApiSettings | None = None
    hook: HookSettings | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources from which events of this org come."""
        return (Source.HOOK,) * bool(self.secrets) + (Source.LOG,) * bool(self.api)


class LogSettings(Section):
    """The forwarder's own log lines, on stderr.

    Attributes:
        level: the lowest level that is written.
        format: `auto` writes text to a terminal and JSON elsewhere.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(BaseSettings):
    """The whole configuration. The function `load` reads it."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    orgs: dict[Name, OrgSettings] = Field(min_length=1)
    receiver: ReceiverSettings = ReceiverSettings()
    store: StoreSettings = StoreSettings()
    sinks: dict[Name, registry.AnySinkSettings] = Field(min_length=1)
    reconcile: ReconcileSettings = ReconcileSettings()
    rules: RulesSettings = RulesSettings()
    reactions: ReactionsSettings = ReactionsSettings()
    ops: OpsSettings = OpsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON schema for editors, as `forwarder config schema` writes it."""
        whole = handler.resolve_ref_schema(handler(schema))
        whole["description"] = "The configuration of okta-forwarder: docs/configuration.md."
        for section in whole["properties"].values():
            section.pop("default", None)  # each key has its own default
            if "patternProperties" in section:
                section["additionalProperties"] = False  # else any name would be valid
        return whole

    @model_validator(mode="after")
    def _note_orgs(self) -> Self:
        for sink in self.sinks.values():
            sink.note_orgs(len(self.orgs))
        return self

    @model_validator(mode="after")
    def _let_hooks_read_the_rules(self) -> Self:
        """Give the rule files of the section `rules` to each hook that has `events: rules` and no `rules` of its
        own."""
        for name, org in self.orgs.items():
            if org.hook and org.hook.needs_rules and not org.hook.rules:
                hook = org.hook.model_copy(update={"rules": self.rules.files_for_hooks()})
                self.orgs[name] = org.model_copy(update={"hook": hook})
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # `Environment` replaces it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # no .env is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a secret names its own file
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return Environment(settings_cls, init_settings()), init_settings

    def secrets(self) -> Iterator[Secret]:
        """Yield every secret of the configuration. The files of secrets are watched, and the values are redacted."""
        yield from (value for _, _, value in leaves(self) if isinstance(value, Secret))

    def files(self) -> set[Path]:
        """Return the files of secrets, certificates and keys. A change of their content causes a reload."""
        files = {secret.file for secret in self.secrets() if secret.file}
        files.update(path for sink in self.sinks.values() for path in sink.files)
        files.update(path for _, path in self.reactions.certificates())
        for _, served in self.tls_listeners():
            files.update((served.cert, served.key))
        return files

    def tls_listeners(self) -> Iterator[tuple[str, TlsSettings]]:
        """Yield (path of the setting, its value) for the `tls` of each listener that serves HTTPS."""
        for path, served in (("receiver.tls", self.receiver.tls), ("ops.tls", self.ops.tls)):
            if served:
                yield path, served


def load(path: Path, *, secrets: bool | Literal["sinks", "reactions"] = True) -> Settings:
    """Read the configuration at `path` and the environment.

    Args:
        path: the YAML file.
        secrets: True to read all secrets and to check certificates. False to do neither, for a command that needs no
            secret. The name of a section to read only the secrets of that section, and to check no certificates.

    Raises:
        SettingsError: the configuration has problems. The error has a line for each: path, problem, hint. It never
            shows a secret.
    """
    tree = read_yaml(path)
    if secrets is True:
        return read(tree, path)
    section = {secrets: tree[secrets]} if secrets in tree else {}
    with secrets_unread(Secret.unread, secrets or None):
        return read(without_secrets(tree, Secret.unread) | section, path, files=False)


def read(tree: Mapping[str, Any], path: Path | None = None, *, files: bool = True) -> Settings:
    """Validate `tree`, the content of the YAML file at `path`, and the environment. Return the settings.

    If `files` is False, the files that the settings name, such as certificates and rules, are not checked.

    Raises:
        SettingsError: the configuration has problems. The error has a line for each: path, problem, hint.
    """
    # Pydantic would ignore these keys.
    capital = {key for key in tree if key not in _SECTIONS and key.lower() in _SECTIONS}
    misspelt = [f"{key}: unknown key; did you mean `{key.lower()}`?" for key in sorted(capital)]
    tree = {key: value for key, value in tree.items() if key not in capital}
    try:
        settings = Settings(**tree)
    except UnicodeEncodeError:
        raise SettingsError(["a FORWARDER__ variable has bytes that are not valid UTF-8"]) from None
    except ValidationError as error:
        errors = causes(error.errors(include_input=False))
        problems = Describer(Settings, registry.SETTINGS).describe(errors)
        beside = _joint_problems_beside(tree, errors, path, files=files)
        raise SettingsError([*map(with_variable, sorted([*misspelt, *problems, *beside]))]) from None
    problems = [*misspelt, *_joint_problems(settings, path, files=files, sound=_SECTIONS)]
    if problems:
        raise SettingsError([*map(with_variable, problems)])
    return settings


_SECTIONS = frozenset(Settings.model_fields)

_SOUND = {"orgs": {"any": {"secrets": ["any"]}}, "sinks": {"any": {"kind": "file", "path": "any"}}}
"""Stand-ins for the orgs or the sinks if all of them have errors. With these, the other sections can still be
checked."""


def _joint_problems_beside(
    tree: Mapping[str, Any], errors: Iterable[Any], path: Path | None, *, files: bool
) -> list[str]:
    """Return the problems that concern several sections, as far as they show in the parts of `tree` without
    `errors`."""
    sound = copy.deepcopy(dict(tree))
    errors = list(errors)
    sections = _SECTIONS - {str(error["loc"][0]) for error in errors}
    silent: set[str] = set()
    if isinstance(sound.get("reactions"), dict):
        places = [error["loc"][1:] for error in errors if error["loc"][0] == "reactions"]
        sound["reactions"], silent = without_errors(sound["reactions"], places)
        errors = [error for error in errors if error["loc"][0] != "reactions"]
    for error in errors:
        first, *rest = error["loc"]
        named = sound.get(first) if first in _SOUND and rest else None
        if isinstance(named, dict):
            named.pop(rest[0], None)
        else:
            sound.pop(first, None)
    try:
        some = {name: sound.get(name) or stand_in for name, stand_in in _SOUND.items()}
        found = _joint_problems(Settings(**(sound | some)), path, files=files, sound=sections)
        return [line for line in found if not any(path in line for path in silent)]
    except ValidationError:  # the error is in the environment
        return []


def _joint_problems(settings: Settings, path: Path | None, *, files: bool, sound: Collection[str]) -> Iterator[str]:
    """Yield the problems that concern several sections. If `files` is True, also yield the problems of certificates and
    rule files.

    `sound` has the names of the sections that have no errors of their own.
    """
    ruleset: Ruleset | None = None
    if files:
        yield from _file_problems(settings)
        ruleset, problems = read_rules(settings.rules.files, settings.rules.lists)
        yield from _rule_problems(settings, problems)
        ruleset = None if problems or "rules" not in sound else ruleset
    yield from variable_problems(settings)
    yield from validate_endpoints(settings.orgs, settings.receiver)
    yield from _sink_problems(settings, path)
    if settings.receiver.listen.overlaps(settings.ops.listen):
        yield "ops.listen: the receiver listens there too; give each listener its own port"
    yield from _org_problems(settings.orgs)
    yield from _zone_problems(settings)
    orgs = settings.orgs
    if "orgs" in sound:
        yield from settings.reactions.problems(
            {name: org.url for name, org in orgs.items()}, {name: org.path for name, org in orgs.items()}
        )
    apis = {name: org.api for name, org in orgs.items()} if "orgs" in sound else None
    yield from reaction_problems(settings.reactions, apis, ruleset)
    unknown = sorted(set(settings.rules.orgs or ()) - set(settings.orgs))
    yield from (f"rules.orgs: unknown org {name}; remove it, or correct the name" for name in unknown)


def _sink_problems(settings: Settings, config: Path | None) -> Iterator[str]:
    for name in settings.sinks:
        if name in RESERVED_SINKS:
            yield f"sinks.{name}: this name is reserved for the receiver's dead letters; choose another"
    paths = {name: sink.path for name, sink in settings.sinks.items() if isinstance(sink, FileSinkSettings)}
    if paths:  # without a file sink, the folders of rules need not be searched
        yield from path_problems(paths, store_files(settings.store.path), _files_read(settings, config))


def _files_read(settings: Settings, config: Path | None) -> set[Path]:
    """Return `config` and the files of secrets, certificates and rules that the settings name."""
    rules = {path for org in settings.orgs.values() if org.hook for path in org.hook.rules}
    rules |= set(settings.rules.files)
    in_folders = {file for folder in rules for file in walk(folder)[0] if has_suffix(file, _RULE_SUFFIXES)}
    return settings.files() | rules | in_folders | ({config} if config else set())


def _rule_problems(settings: Settings, problems: Sequence[RuleProblem]) -> Iterator[str]:
    yield from (f"rules.files: {problem}" for problem in problems)
    for name, org in settings.orgs.items():
        if org.hook and org.hook.rules and not (problems and set(settings.rules.files) <= set(org.hook.rules)):
            yield from (f"orgs.{name}.hook.{problem}" for problem in desired_types(org.hook)[2])


def _file_problems(settings: Settings) -> Iterator[str]:
    for name, sink in settings.sinks.items():
        yield from (f"sinks.{name}.{key}: {problem}" for key, problem in sink.file_problems())
    yield from settings.reactions.file_problems()
    for path, served in settings.tls_listeners():
        try:
            tls_context(served, path)
        except SettingsError as error:
            yield from error.problems


def _org_problems(orgs: Mapping[str, OrgSettings]) -> Iterator[str]:
    for name, org in orgs.items():
        if (org.api or org.hook or org.zones) and not org.url:
            yield f"orgs.{name}.url: is required for `api`, `hook` and `zones`, as in https://{name}.okta.com"
        if not org.secrets and not org.api:
            yield f"orgs.{name}.secrets: at least one is required for a hook; or set `api` to read the System Log"
        if org.hook and org.hook.needs_rules and not org.hook.rules:
            yield f"orgs.{name}.hook: `events: rules` needs rule files; write rules: [rules/okta], or the section `rules`"
        if org.hook and not org.api:
            yield f"orgs.{name}.api: is required for `hook`, as in {{token: {{file: /run/secrets/okta-token}}}}"
        if org.hook and org.api and (missing := org.api.scopes_missing_for(org.hook)):
            yield f"orgs.{name}.api.scopes: lacks {missing}, which `hook` needs; grant it to the app, and add it here"
        if not org.secrets and org.hook:
            yield f"orgs.{name}.secrets: at least one is required, because the org has a `hook`"


def _zone_problems(settings: Settings) -> Iterator[str]:
    protected = {
        f"reactions.protect.ips {network}": parse_range(str(network)) for network in settings.reactions.protect.ips
    }
    for name, org in settings.orgs.items():
        if org.zones and not org.api:
            yield f"orgs.{name}.api: is required for `zones`, as in {{token: {{file: /run/secrets/okta-token}}}}"
        if org.zones and org.api and org.api.private_key and ZONE_SCOPE not in org.api.scopes:
            yield (
                f"orgs.{name}.api.scopes: lacks {ZONE_SCOPE}, which `zones` needs; grant it to the app, and add it here"
            )
        yield from (f"orgs.{name}.{problem}" for problem in zone_problems(org, protected))
