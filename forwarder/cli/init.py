"""`forwarder init`: writes a first configuration, with each secret in its own file."""

import json
import os
import secrets as random_secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from forwarder.cli.options import config_option
from forwarder.cli.terminal import echo
from forwarder.core.errors import ForwarderError, SettingsError

_ADDRESSES = {"elasticsearch": "https://localhost:9200", "otlp": "http://localhost:4318"}
_SYSTEM_STORE = Path("/var/lib/forwarder")
# Files in the folder of secrets.
_HOOK_FILE = "hook-secret"
_OPS_FILE = "ops-token"
_OKTA_FILE = "okta-token"
_KEY_FILE = "elasticsearch-api-key"


class _Answers(NamedTuple):
    org_url: str
    public_url: str
    sink: str
    address: str
    secrets: Path
    store: Path

    @property
    def org(self) -> str:
        return (urlsplit(self.org_url).hostname or "").partition(".")[0]

    def has(self, name: str) -> bool:
        return os.path.exists(self.secrets / name)  # noqa: PTH110  # a method of a path raises if this user may not look into the folder


@click.command()
@config_option
@click.option("--org-url", help="The org's own URL, such as https://acme.okta.com.")
@click.option(
    "--public-url", help="The URL that Okta posts to, on your TLS proxy, such as https://hooks.acme.com/okta/events."
)
@click.option("--sink", type=click.Choice([*_ADDRESSES, "file"]), help="The kind of the first sink.")
@click.option("--sink-address", help="The URL of the sink, or the path of its file.")
@click.option("--secrets", type=click.Path(path_type=Path, file_okay=False), help="The folder for files of secrets.")
@click.option("--store", type=click.Path(path_type=Path, dir_okay=False), help="The file of the store.")
@click.option("--yes", is_flag=True, help="Ask nothing; use the default of each option that is not given.")
def init(  # noqa: PLR0913 - one for each option
    config: Path,
    *,
    org_url: str | None,
    public_url: str | None,
    sink: str | None,
    sink_address: str | None,
    secrets: Path | None,
    store: Path | None,
    yes: bool,
) -> None:
    """Write a first configuration that `check` accepts, and create secrets for it.

    The command asks for each value that no option gives. Each secret has its own file, which only the current user may
    read. The command creates the secret of the hook and the token of the status page. If the folder of secrets has the
    file `okta-token`, the configuration uses this file as the API token of Okta. If the folder has the file
    `elasticsearch-api-key`, the configuration uses this file as the API key of Elasticsearch. Existing files are not
    overwritten.

    Exit codes: 0 written; 1 a file exists or cannot be written; 2 wrong usage.
    """
    if os.path.lexists(config):
        raise ForwarderError(
            f"{config} already exists, and `init` never overwrites a file; name another file with --config"
        )

    def ask(given: str | None, option: str, question: str, default: str, check: Callable[[str], str]) -> str:
        if given is None and not yes:
            answer: str = click.prompt(question, default=default, value_proc=check, err=True)
            return answer
        try:
            return check(given or default)
        except click.BadParameter as error:
            raise click.BadParameter(error.message, param_hint=option) from None

    org = ask(org_url, "--org-url", "URL of the Okta org", "https://your-org.okta.com", _org_url)
    public = "https://hooks.example.com/okta/events"
    public = ask(public_url, "--public-url", "Address that Okta posts to", public, _public_url)
    kind = ask(sink, "--sink", "Sink: elasticsearch, otlp or file", "elasticsearch", _kind)
    state = _SYSTEM_STORE if os.access(_SYSTEM_STORE, os.W_OK) else config.absolute().parent / "data"
    place = _ADDRESSES.get(kind, str(state / "okta.ndjson"))
    address = ask(sink_address, "--sink-address", "URL of the sink, or path of its file", place, str.strip)
    folder = str(config.absolute().parent / "secrets")
    folder = ask(_text_of(secrets), "--secrets", "Folder for files of secrets", folder, str.strip)
    if kind == "file":  # absolute like the other paths: `run` may be called from another folder
        address = str(Path(address).absolute())
    file = ask(_text_of(store), "--store", "File of the store", str(state / "forwarder.db"), str.strip)
    _write(config, _Answers(org, public, kind, address, Path(folder).absolute(), Path(file).absolute()))


def _text_of(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _org_url(written: str) -> str:
    from forwarder.okta.settings import org_origin

    try:
        return org_origin(written if "://" in written else f"https://{written}")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _public_url(written: str) -> str:
    from pydantic import ValidationError

    from forwarder.okta.settings import HookSettings

    written = written if "://" in written else f"https://{written}"
    try:
        HookSettings(uri=written)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return written if urlsplit(written).path not in ("", "/") else f"{written.rstrip('/')}/okta/events"


def _kind(written: str) -> str:
    if written not in (*_ADDRESSES, "file"):
        raise click.BadParameter(f"{written} is not a kind of sink; write elasticsearch, otlp or file")
    return written


def _write(config: Path, answers: _Answers) -> None:
    """Write the secrets and the configuration. Validate the answers first, so that no file is written if an answer is
    wrong."""
    import yaml

    from forwarder import config_check
    from forwarder.config.file import without_secrets
    from forwarder.config.types import Secret
    from forwarder.settings import load, read

    text = _text(answers, config)
    wanted = read(without_secrets(yaml.safe_load(text), Secret.unread), files=False)
    # The path of a new store is not checked, because its folder is only made below.
    names = ("file.path", "store.path") if os.path.lexists(answers.store) else ("file.path",)
    if problems := config_check.problems(wanted, {name: config_check.FATAL[name] for name in names}):
        raise SettingsError(problems)
    try:
        for folder, mode in (
            (answers.secrets, 0o700),
            (answers.store.parent, 0o700),
            (config.absolute().parent, 0o755),
        ):
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
        made = [name for name in (_HOOK_FILE, _OPS_FILE) if _make_secret(answers.secrets / name)]
        _create(config, text, 0o644)
    except OSError as error:
        raise ForwarderError(
            f"{error.filename} cannot be written: {error.strerror}; choose another folder or file"
        ) from None
    echo(f"Wrote {config}" + "".join(f" and {answers.secrets / name}" for name in made) + ".", fg="green")
    for name in (_HOOK_FILE, _OPS_FILE):
        if name not in made:
            echo(f"{answers.secrets / name} already exists, so `init` uses this file unchanged.")
    if problems := config_check.problems(load(config)):
        raise SettingsError(problems)
    _print_next(config, answers)


def _make_secret(file: Path) -> bool:
    """Write a random secret to `file`, which only the current user can read. Return False if the file exists already."""
    if os.path.exists(file):  # noqa: PTH110  # as above
        return False
    _create(file, random_secrets.token_urlsafe(32) + "\n", 0o600)
    return True


def _create(file: Path, text: str, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def _text(answers: _Answers, config: Path) -> str:
    def source(name: str) -> str:
        return f"{{file: {json.dumps(str(answers.secrets / name))}}}"

    def line(text: str, *, if_file: str) -> str:
        indent = " " * (len(text) - len(text.lstrip()))
        return text if answers.has(if_file) else f"{indent}# {text.lstrip()}"

    where = json.dumps(answers.address)
    sinks = {
        "elasticsearch": f"  siem:\n    kind: elasticsearch\n    hosts: [{where}]\n"
        + line(f"    api_key: {source(_KEY_FILE)}", if_file=_KEY_FILE),
        "otlp": f"  siem:\n    kind: otlp\n    endpoint: {where}",
        "file": f"  archive:\n    kind: file\n    path: {where}",
    }
    schema = "forwarder.schema.json"
    names_schema = os.path.lexists(config.absolute().parent / schema)
    return "\n".join(
        [
            *([f"# yaml-language-server: $schema={schema}"] if names_schema else []),
            "# Written by `forwarder init`. All keys and their defaults: docs/configuration.md",
            "orgs:",
            f"  {json.dumps(answers.org)}:",
            f"    url: {json.dumps(answers.org_url)}",
            f"    path: {json.dumps(urlsplit(answers.public_url).path)}",
            f"    secrets: [{source(_HOOK_FILE)}]",
            line(f"    api: {{token: {source(_OKTA_FILE)}}}", if_file=_OKTA_FILE),
            line(f"    hook: {{uri: {json.dumps(answers.public_url)}}}", if_file=_OKTA_FILE),
            'receiver: {listen: "127.0.0.1:8080"}    # behind your TLS proxy',
            f"store: {{path: {json.dumps(str(answers.store))}}}",
            "sinks:",
            sinks[answers.sink],
            f'ops: {{listen: "127.0.0.1:9464", token: {source(_OPS_FILE)}}}',
            "",
        ]
    )  # fmt: skip


def _print_next(config: Path, answers: _Answers) -> None:
    from forwarder.cli.options import DEFAULT_CONFIG

    option = "" if config == DEFAULT_CONFIG else f" -c {config}"
    steps = []
    if not answers.has(_OKTA_FILE):
        token = (
            f"write an API token of Okta to {answers.secrets / _OKTA_FILE}, and uncomment `api` and `hook` in {config}"
        )
        steps.append(f"# {token}")
    if answers.sink == "elasticsearch":
        if not answers.has(_KEY_FILE):
            key = f"write a key of Elasticsearch to {answers.secrets / _KEY_FILE} (docs/elasticsearch.md), and uncomment `api_key`"
            steps.append(f"# {key}")
        steps.append("# with a second key, which may write templates (docs/elasticsearch.md):")
        steps.append(f"FORWARDER__SINKS__SIEM__API_KEY=… forwarder setup elasticsearch{option}")
    steps += [f"forwarder check{option}", f"forwarder run{option}", f"forwarder hooks sync{option}"]
    echo("Next:")
    for step in steps:
        echo(f"  {step}")
    if not answers.has(_OKTA_FILE):
        header = f"the header Authorization with the text of {answers.secrets / _HOOK_FILE}"
        echo(f"Without an API token, create the event hook by hand: {answers.public_url}, {header}.")
