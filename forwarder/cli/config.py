"""`forwarder config`: shows the configuration in force, and the schema of its file for editors."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from forwarder.cli.options import config_option, find_config
from forwarder.core.printable import printable
from forwarder.core.redaction import redact_all

_COLUMN = 60  # where the comments begin


@click.group()
def config() -> None:
    """Show the configuration in force, and the schema of its file."""


@config.command()
@config_option
@click.option("--changed", is_flag=True, help="Show only keys that the file or the environment sets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: `config`, and `from` with the origin of each value.")
def show(config: Path, *, changed: bool, as_json: bool) -> None:
    """Show every key with its value in force, and where the value comes from: file, environment or default.

    Secrets are hidden: the command shows where each secret is, but does not read it. The output is YAML that `check`
    accepts, unless the file itself contains a secret.
    """
    from forwarder.config.file import Environment, read_yaml
    from forwarder.settings import Settings, load

    file = find_config(config)
    settings = load(file, secrets=False)
    written = read_yaml(file)
    environment = Environment(Settings, written)()
    shown = redact_all(settings.model_dump(mode="json", by_alias=True))
    origins = {path: _origin(path, written, environment) for path, _ in _leaves(shown)}
    if changed:
        shown = _without_defaults(shown, origins) or {}
        origins = {path: origin for path, origin in origins.items() if origin != "default"}
    if as_json:
        named = {".".join(path): origin for path, origin in origins.items()}
        click.echo(json.dumps({"config": shown, "from": named}, indent=2))
        return
    for line in _lines(shown, origins):
        click.echo(printable(line))


@config.command()
def schema() -> None:
    """Print the JSON schema of the configuration file. With this schema, an editor completes keys and marks typos.

    Name the schema in the first line of the configuration: `# yaml-language-server: $schema=forwarder.schema.json`.
    """
    click.echo(schema_text(), nl=False)


def schema_text() -> str:
    """Return the JSON schema of the configuration. The file `config/forwarder.schema.json` has this text."""
    from forwarder.settings import Settings

    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


_Path = tuple[str, ...]


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, dict) or not value or value.keys() < {"env", "file"}


def _leaves(tree: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    if _is_leaf(tree):
        yield path, tree
    else:
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))


def _origin(path: _Path, written: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    if _has(environment, path):
        return "FORWARDER__" + "__".join(path).upper()
    return "file" if _has(written, path) else "default"


def _has(tree: Any, path: _Path) -> bool:
    for key in path:
        if not isinstance(tree, Mapping):
            return False
        names = [name for name in tree if str(name).casefold() == key.casefold()]
        if not names:
            return False
        tree = tree[names[0]]
    return True


def _without_defaults(tree: Any, origins: Mapping[_Path, str], path: _Path = ()) -> Any:
    """Return the values in `tree` that come from the file or the environment; None if all values are defaults."""
    if _is_leaf(tree):
        return None if origins[path] == "default" else tree
    kept = {key: _without_defaults(value, origins, (*path, key)) for key, value in tree.items()}
    return {
        key: value
        for key, value in kept.items()
        if value is not None or origins.get((*path, key), "default") != "default"
    } or None


def _lines(tree: dict[str, Any], origins: Mapping[_Path, str], path: _Path = ()) -> Iterator[str]:
    for key, value in tree.items():
        name = "  " * len(path) + _flow(key) + ":"
        here = (*path, key)
        if _is_leaf(value):
            yield f"{f'{name} {_flow(value)}':<{_COLUMN}} # {origins[here]}"
        else:
            yield name
            yield from _lines(value, origins, here)


def _flow(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
