"""The commands that end by themselves: what they print, and the exit code."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from forwarder.cli.main import main


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {"acme": {"secrets": ["planted-secret"]}},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))
    return file


def run(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.long
def test_every_command_has_a_help_that_says_what_it_does() -> None:
    def walk(command: Any, path: list[str]) -> None:
        shown = run(*path, "--help")
        assert shown.exit_code == 0
        assert command.help, path
        assert "\\b" not in shown.output  # click's mark for lines to keep, which must not be shown
        options = [param for param in command.params if isinstance(param, click.Option)]
        assert not [option.name for option in options if not option.help], path
        for name, child in getattr(command, "commands", {}).items():
            walk(child, [*path, name])

    walk(main, [])
    assert {"run", "check", "demo", "stats", "dead-letters", "emulate-okta"} <= main.commands.keys()


@pytest.mark.long
def test_a_wrong_configuration_ends_with_2_and_every_problem(config: Path) -> None:
    tree = json.loads(config.read_text())
    tree["recever"], tree["ops"] = {}, {"listen": "x"}
    config.write_text(json.dumps(tree))
    for command in ("check", "run", "stats"):
        done = run(command, "--config", config)
        assert done.exit_code == 2
        assert "recever: unknown key; did you mean `receiver`?" in done.output
        assert "ops.listen: 'x' is not an address" in done.output


def test_a_config_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    done = run("check", "--config", tmp_path / "none.yaml")
    assert done.exit_code == 2
    assert "cannot be read" in done.output


@pytest.mark.long
def test_without_a_store_there_is_no_ledger(config: Path) -> None:
    for command in (["stats"], ["dead-letters", "list"], ["dead-letters", "replay", "--all"]):
        done = run(*command, "--config", config)
        assert done.exit_code == 1
        assert str(config.parent / "store.db") in done.output
    assert not (config.parent / "store.db").exists()


@pytest.mark.long
def test_the_ledger_and_the_dead_letters_need_no_secret(config: Path) -> None:
    tree = json.loads(config.read_text())
    tree["orgs"]["acme"]["secrets"] = [{"env": "NOT_SET_ANYWHERE"}]
    config.write_text(json.dumps(tree))
    assert run("check", "--config", config).exit_code == 2
    for words in (["stats"], ["dead-letters", "list"], ["dead-letters", "replay", "--all"]):
        done = run(*words, "--config", config)
        assert done.exit_code == 1
        assert "there is no store at" in done.output


@pytest.mark.long
def test_a_missing_certificate_is_a_problem_of_the_configuration(config: Path) -> None:
    tree = json.loads(config.read_text())
    tree["receiver"] = {"tls": {"cert": "/nowhere/cert.pem", "key": "/nowhere/key.pem"}}
    tree["sinks"]["siem"] = {"kind": "elasticsearch", "hosts": ["https://es"], "ca_file": "/nowhere/ca.pem"}
    config.write_text(json.dumps(tree))
    for command in ("check", "run"):
        done = run(command, "--config", config)
        assert done.exit_code == 2
        assert "receiver.tls.cert: there is no file /nowhere/cert.pem" in done.output
        assert "sinks.siem.ca_file: " in done.output


@pytest.mark.long
def test_a_demo_that_cannot_make_its_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("demo", "--events", 3, "--exit", "--dir", tmp_path / "file" / "demo")
    assert done.exit_code == 2
    assert "cannot be prepared: Not a directory" in done.output


def test_dead_letters_are_named_or_all_of_them(config: Path) -> None:
    for words in (["replay"], ["discard", "--yes"], ["replay", "1", "--all"]):
        assert run("dead-letters", *words, "--config", config).exit_code == 2


@pytest.mark.long
def test_a_demo_empties_no_folder_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    done = run("demo", "--events", 3, "--exit", "--dir", tmp_path)
    assert done.exit_code == 2
    assert "files that were not made by a demo" in done.output
    assert (tmp_path / "precious").read_text() == "keep me"


def test_a_demo_without_an_end_does_not_exit() -> None:
    assert run("demo", "--exit").exit_code == 2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--drop", "2"], "--drop"),
        (["--delay", "3"], ""),
        (["--hook", "http://127.0.0.1:1/x"], "--hook-secret"),
        (["--listen", "nowhere"], "--listen: 'nowhere' is not an address"),
        (["--client", "0oa1"], "--client needs --client-key"),
        (["--no-dpop"], "need --client"),
        (["--client", "0oa1", "--client-key", "/nowhere/key.pem"], "--client-key: the file"),
        (["--client", "0oa1", "--client-key", __file__], "--client-key: the file contains no key"),
        (["--no-admin"], "need --client"),
        (["--ciba-client", "0oa2"], "--ciba-client needs --ciba-key"),
        (["--ciba-key", __file__], "--ciba-key needs --ciba-client"),
        (["--ciba-client", "0oa2", "--ciba-key", __file__], "--ciba-key: the file contains no key"),
        (["--log-delay", "5"], "--log-delay"),
        (["--quota", "0"], "--quota"),
        (["--rate", "inf"], "--rate: Input should be less than or equal to 100000"),
        (["--client", "0oa1", "--client-key", "key.pem"], "key.pem cannot be read"),
    ],
)
def test_a_wrong_flag_of_the_emulator_ends_with_2(flags: list[str], expected: str) -> None:
    done = run("emulate-okta", "--token", "t", "--rate", "x", *flags)
    assert done.exit_code == 2
    done = run("emulate-okta", "--token", "t", "--listen", "127.0.0.1:0", *flags) if expected else done
    assert done.exit_code == 2
    assert expected in done.output
