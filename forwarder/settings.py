"""The configuration: a YAML file, the environment over it, every fault reported at once with its path.

Each room owns the settings of what it does; this file composes them and checks what no room can see alone.
"""

import copy
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import yaml
from pydantic import BaseModel, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from forwarder.config_types import Secret, Section
from forwarder.core.errors import SettingsError
from forwarder.core.event import Source
from forwarder.okta.settings import ApiSettings, HookSettings, ReconcileSettings
from forwarder.ops.settings import OpsSettings
from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings, validate_endpoints
from forwarder.sinks import registry
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.store.settings import StoreSettings

ENV_PREFIX = "FORWARDER__"
RESERVED_SINKS = {"receiver"}  # the receiver's dead letters have this name

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""A name that the operator gives: a label, a log field, a key in the store."""


class OrgSettings(HookEndpointSettings):
    """One Okta org.

    Attributes:
        url: the org's own; needed for `api` and `hook`.
        api: how Okta's API is reached.
        hook: the event hook to have.
    """

    url: str | None = None
    api: ApiSettings | None = None
    hook: HookSettings | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its events come from."""
        return (Source.HOOK,) * bool(self.secrets) + (Source.LOG,) * bool(self.api)


class LogSettings(Section):
    """The forwarder's own log lines, on stderr.

    Attributes:
        level: the least that is written.
        format: `auto` is text on a terminal and JSON elsewhere.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(BaseSettings):
    """All that the operator sets. Made by `load`."""

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
    ops: OpsSettings = OpsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # ours knows the file's spelling
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # no .env is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a secret names its own file
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return _Environment(settings_cls, init_settings()), init_settings

    def secrets(self) -> Iterator[Secret]:
        """Every secret of the configuration, for watching their files and for keeping them out of sight."""
        yield from _secrets(self)


class _Environment(EnvSettingsSource):
    """`FORWARDER__SECTION__KEY`, laid over the file. Names of orgs and sinks match without case."""

    def __init__(self, settings_cls: type[BaseSettings], written: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._written = written

    def __call__(self) -> dict[str, Any]:
        data = super().__call__()
        sections = {name.upper() for name in self.settings_cls.model_fields}
        for name in os.environ:
            section = name.removeprefix(ENV_PREFIX).partition("__")[0]
            if name.startswith(ENV_PREFIX) and section.upper() not in sections:
                data[section.lower()] = ""  # refused as an unknown key, as it would be in the file
        respelled: dict[str, Any] = _respell(data, self._written)
        return respelled

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """What stands in the variable as JSON; what is no JSON is told by its path, beside all other faults."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _respell(data: Any, written: Any) -> Any:
    """`data` with its keys spelled as in `written`, where they differ only in case."""
    if not isinstance(data, dict):
        return data
    known = {str(key).lower(): key for key in written} if isinstance(written, Mapping) else {}
    keys = {key: known.get(key.lower(), key) for key in data}
    return {
        keys[key]: _respell(value, written.get(keys[key]) if isinstance(written, Mapping) else None)
        for key, value in data.items()
    }


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that is written twice is a fault, not a silent choice."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is written twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path, *, secrets: bool = True) -> Settings:
    """Read the configuration at `path` and the environment.

    Args:
        path: of the YAML file.
        secrets: read what `{env: NAME}` and `{file: path}` name; else they may be absent, for who only needs the
            rest, as an operator's shell beside the forwarder does.

    Raises:
        SettingsError: with every fault, each with its path and a hint. Never shows a secret.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506  # a SafeLoader
    except OSError as error:
        hint = "name another with --config or FORWARDER_CONFIG"
        raise SettingsError([f"{path}: cannot be read: {error.strerror}; {hint}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: {_one_line(error)}"]) from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise SettingsError(
            [f"{path}: the configuration is a mapping of sections; see docs/configuration.md"]
        )
    return read(tree if secrets else _without_secrets(tree))


def _without_secrets(tree: Any) -> Any:
    """`tree` with the name of each secret in place of the secret."""
    if isinstance(tree, list):
        return [_without_secrets(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if (
        len(tree) == 1
        and tree.keys() <= {"env", "file"}
        and isinstance(place := next(iter(tree.values())), str)
    ):
        return quote(place)
    return {key: _without_secrets(value) for key, value in tree.items()}


def read(tree: Mapping[str, Any]) -> Settings:
    """The settings from what stands in the file, the environment laid over it.

    Raises:
        SettingsError: as `load`.
    """
    try:
        settings = Settings(**tree)
    except ValidationError as error:
        found = error.errors(include_input=False)
        faults = [_fault(fault) for fault in found if not _follows(fault, found)]
        raise SettingsError(sorted([*faults, *_faults_beside(tree, found)])) from None
    faults = list(_joint_faults(settings))
    if faults:
        raise SettingsError(faults)
    return settings


def _follows(fault: Any, found: Iterable[Any]) -> bool:
    """Whether `fault` is only that a list has no item, of which `found` says that each is wrong."""
    loc = fault["loc"]
    return fault["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in found
    )


def _faults_beside(tree: Mapping[str, Any], found: Iterable[Any]) -> list[str]:
    """The joint faults of what is sound: of `tree` without the orgs, sinks and sections in which `found` lie."""
    sound = copy.deepcopy(dict(tree))
    for fault in found:
        first, *rest = fault["loc"]
        named = sound.get(first) if first in {"orgs", "sinks"} and rest else None
        if isinstance(named, dict):
            named.pop(rest[0], None)
        else:
            sound.pop(first, None)
    try:
        some = {name: sound.get(name) or stand_in for name, stand_in in _SOME.items()}
        return list(_joint_faults(Settings(**(sound | some))))
    except ValidationError:  # the fault stands in the environment
        return []


_SOME = {"orgs": {"any": {"secrets": ["any"]}}, "sinks": {"any": {"kind": "file", "path": "any"}}}
"""What stands in for orgs or sinks where none of them is sound, so that the others can be looked at."""


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return "is no YAML text in UTF-8"


def _fault(fault: Any) -> str:
    """One fault as a line: path, what is wrong, hint."""
    path, siblings = _locate(fault["loc"])
    kind, message = fault["type"], str(fault["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), siblings, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(siblings))}"
        return f"{path}: unknown key; {hint}"
    if kind == "missing":
        return f"{path}: is required and not there"
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        return f"{path}.kind: must be one of {', '.join(registry.SETTINGS)}"
    if kind == "too_short":
        return f"{path}: at least one is needed"
    if kind in _SHAPES:
        return f"{path}: {_SHAPES[kind]}"
    if kind == "string_pattern_mismatch" and fault["loc"][-1] == "[key]":
        return f"{path}: a name has letters, digits, `.`, `_` and `-`, at most 63, and starts with a letter or digit"
    return f"{path}: {message[:1].lower()}{message[1:]}"


_A_MAPPING = "write keys with values, as in {key: value}"
_SHAPES = {
    "dict_type": _A_MAPPING,
    "model_type": _A_MAPPING,
    "model_attributes_type": _A_MAPPING,
    "tuple_type": "write a list, as in [one, two]",
    "path_type": "write a path, as in /var/lib/forwarder/forwarder.db",
}
"""What to write in place of a value of another shape; pydantic's own words are for programmers."""


def _locate(loc: tuple[Any, ...]) -> tuple[str, list[str]]:
    """The path as the operator wrote it, and the keys that are known beside its last one."""
    parts = [
        part for n, part in enumerate(loc) if not (n == 2 and loc[0] == "sinks" and part in registry.SETTINGS)
    ]
    path = ""
    for part in parts:
        if part == "[key]":
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    model: Any = Settings
    for part in loc[:-1]:
        if loc[0] == "sinks" and part in registry.SETTINGS:
            model = registry.SETTINGS[part]
        elif isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = _model_of(model.model_fields[part])
    known = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
    return path, list(known)


def _model_of(field: FieldInfo) -> Any:
    """The section that a field holds: itself, or the values of a mapping, or the items of a list."""
    candidates = [field.annotation]
    while candidates:
        candidate = candidates.pop()
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
        candidates.extend(getattr(candidate, "__args__", ()))
    return None


def _joint_faults(settings: Settings) -> Iterator[str]:
    """What no section can see alone."""
    yield from validate_endpoints(settings.orgs)
    for name in settings.sinks:
        if name in RESERVED_SINKS:
            yield f"sinks.{name}: this name belongs to the receiver's dead letters; choose another"
    paths: dict[Path, str] = {}
    for name, sink in settings.sinks.items():
        if isinstance(sink, FileSinkSettings):
            other = paths.setdefault(Path(sink.path).absolute(), name)
            if other != name:
                yield f"sinks.{name}.path: sinks.{other} writes the same file; give each its own"
    if settings.receiver.listen == settings.ops.listen and settings.ops.listen.port:
        yield "ops.listen: the receiver listens there; give each its own port"
    yield from _org_faults(settings.orgs)


def _org_faults(orgs: Mapping[str, OrgSettings]) -> Iterator[str]:
    for name, org in orgs.items():
        if (org.api or org.hook) and not org.url:
            yield f"orgs.{name}.url: is needed for `api` and `hook`, as in https://{name}.okta.com"
        if not org.secrets and not org.api:
            yield f"orgs.{name}.secrets: at least one is needed for a hook, or `api` to read the System Log"
        if not org.secrets and org.hook:
            yield f"orgs.{name}.secrets: at least one is needed, because the org has a `hook`"
