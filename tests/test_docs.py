"""What the documents point to exists: pages, headings, files, commands; and the configuration that they show is a good one."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.settings import read
from tests.stack.process import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "dashboards").glob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^|[ `/])forwarder ([a-z][^|;&()]*)")


def fenced(page: Path, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE))  # fmt: skip
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in _anchors(target), link


def _commands(page: Path) -> Iterator[str]:
    """What stands behind `forwarder` in the code of a page."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    shell = "".join(fenced(page, "sh")).replace("\\\n", " ")
    for line in [*re.findall(r"`([^`\n]+)`", text), *shell.splitlines()]:
        yield from _COMMAND.findall(line.partition(" #")[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for line in _commands(page):
        command: click.Command = main
        for word in line.split():
            if isinstance(command, click.Group):
                assert word in command.commands, line
                command = command.commands[word]
        known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
        assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", line)) - {"--help"} <= known, line


_OPERATOR_TEXTS = [*(ROOT / "forwarder").rglob("*.py"), ROOT / "docs" / "runbook.md", ROOT / "docs" / "find.md"]


def test_a_command_for_dead_letters_that_a_message_names_says_which_dead_letters() -> None:
    # Without one of them, the command refuses to run.
    which = re.compile(r"--all|\bN\b|\d|ID")
    for path in _OPERATOR_TEXTS:
        for command in re.findall(r"[`:]\s?forwarder dead-letters (?:replay|discard)\b[^`\n]*", path.read_text()):
            assert which.search(command), (path, command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_shell_understands_every_command(page: Path) -> None:
    for block in fenced(page, "sh"):
        shlex.split(block, comments=True)


@pytest.mark.long
def test_the_exception_and_the_tests_of_the_page_fit_our_rules(tmp_path: Path) -> None:
    _, exception, tests = fenced(ROOT / "docs" / "rules.md", "yaml")
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "config" / "rules", rules)
    (rules / "scanner.yml").write_text(exception.replace("until: 20", "until: 29"))  # has not ended yet
    (rules / "listed_country.tests.yml").write_text(tests)
    (config := tmp_path / "forwarder.yaml").write_text(
        "orgs: {acme: {secrets: [a-secret-for-this-test-0123456789]}}\n"
        f"sinks: {{archive: {{kind: file, path: {tmp_path}/a}}}}\n"
        f"rules: {{files: [{rules}], lists: {{embargo: [IR]}}}}\n"
    )
    for command in ("check", "test"):
        done = CliRunner().invoke(main, ["rules", command, "-c", str(config)])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_writes_no_secret_that_every_user_can_read(page: Path) -> None:
    for line in "".join(fenced(page, "sh")).splitlines():
        if "openssl rand" in line and re.search(r"> *[\w./-]", line):
            assert "umask 077" in line, line


def test_the_first_configuration_of_the_readme_is_a_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"^   ```yaml\n(.*?)^   ```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    for name in re.findall(r"\{env: (\w+)\}", block):
        monkeypatch.setenv(name, "a-secret-for-this-test-0123456789")
    assert read(yaml.safe_load(block)).sinks


def test_the_secrets_of_the_unit_are_where_the_page_says() -> None:
    (text, *_) = fenced(ROOT / "docs" / "install.md", "yaml")
    tree = yaml.safe_load(text) | {"sinks": {"archive": {"kind": "file", "path": "/var/lib/forwarder/a"}}}
    (secret,) = tree["orgs"]["acme"]["secrets"]
    unit = (ROOT / "deploy" / "systemd" / "okta-forwarder.service").read_text()
    folder, name = secret["file"].rsplit("/", 1)
    assert folder == "/run/credentials/okta-forwarder.service"
    assert f"LoadCredential={name}:" in unit
    tree["orgs"]["acme"]["secrets"] = ["a-secret-for-this-test-0123456789"]
    assert read(tree).orgs


def test_the_commands_of_the_page_find_the_program_and_the_configuration_of_the_unit() -> None:
    unit = (ROOT / "deploy" / "systemd" / "okta-forwarder.service").read_text()
    program, _, _, config = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0].split()
    folder = program.removesuffix("/forwarder")
    assert f"export PATH={folder}:$PATH FORWARDER_CONFIG={config}" in (ROOT / "docs/install.md").read_text()


def test_a_restore_as_the_page_says_keeps_the_record_of_zones(tmp_path: Path) -> None:
    (store := tmp_path / "store").mkdir()
    for suffix in ("", "-wal", "-shm", ".lock", ".zones"):
        (store / f"forwarder.db{suffix}").write_text("old")
    (backup := tmp_path / "backup").mkdir()
    (backup / "2026-11-28.db").write_text("new")
    (block,) = [block for block in fenced(ROOT / "docs" / "commands.md", "sh") if "mkdir" in block]
    block = block.replace("/var/lib/forwarder", str(store)).replace("/var/backups/okta", str(backup))
    stubs = "systemctl() { :; }; forwarder() { :; }\n"
    subprocess.run(["sh", "-ec", stubs + block], check=True, timeout=30)
    there = {path.name: path.read_text() for path in store.iterdir() if path.is_file()}
    assert there == {"forwarder.db": "new", "forwarder.db.zones": "old"}
