"""Commands of a user who may not read or write a file: the error names the file, its owner, and what to do."""

import asyncio
import json
import os
import socket
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.safe_files import rights_hint
from forwarder.store.sqlite.schema import to_store_error
from tests.integration.store.helpers import opened

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"), pytest.mark.long]

REPLAY, PAUSE = ("dead-letters", "replay", "--all"), ("reactions", "pause", "--why", "a test")
BUNDLE = "doctor", "--offline", "config", "--bundle"
READING = ("stats",), ("find", "x"), ("tap", "--no-follow")


@pytest.fixture
def config() -> Iterator[Path]:
    """The configuration of a store in a folder in which everyone may write."""
    with tempfile.TemporaryDirectory() as directory:  # other users cannot enter `tmp_path`
        folder = Path(directory)
        tree = {
            "orgs": {"acme": {"secrets": ["x" * 40]}},
            "store": {"path": str(folder / "store.db")},
            "sinks": {"archive": {"kind": "file", "path": str(folder / "events.ndjson")}},
        }
        (folder / "forwarder.yaml").write_text(json.dumps(tree))

        async def create() -> None:
            async with opened(folder / "store.db"):
                pass

        asyncio.run(create())
        for words in (
            REPLAY,
            PAUSE,
            *READING,
            ("backup", str(folder / "copy.db")),
            (*BUNDLE, str(folder / "bundle.tar.gz")),
        ):
            # Each command imports its modules now: nobody may not have the right to read them.
            invoke(folder / "forwarder.yaml", *words)
        folder.chmod(0o777)
        for file in folder.iterdir():
            file.chmod(0o666)
        yield folder / "forwarder.yaml"


def run(config: Path, *words: str) -> str:
    """The error of the command, as a child of this process that is nobody gets it."""

    def command() -> str:
        done = invoke(config, *words)
        return f"{done.exit_code}: {done.stderr}"

    code, _, text = as_nobody(command).partition(": ")
    assert code == "1", text
    (line,) = text.splitlines()
    return line


def as_nobody(call: Callable[[], str]) -> str:
    """The result of the call in a child of this process that is nobody; if it raises, the error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, call().encode())
        except Exception as error:  # noqa: BLE001  # the test compares it
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


def invoke(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--config", str(config)])


def hint(file: Path) -> str:
    mode = f"{stat.S_IMODE(file.stat().st_mode):03o}"
    return f"{file} belongs to the user root and has the mode {mode}; run this as root, or make nobody the owner: chown nobody {file}"


@pytest.mark.parametrize("path", ["/var/lib/no-such-store.db", "/var/lib/no-such-folder/store.db", "/var/lib"])
def test_no_user_is_told_to_own_a_folder_of_the_system(path: str) -> None:
    assert as_nobody(lambda: rights_hint(Path(path))) == (
        "/var/lib is a folder of the system; use a folder of nobody, such as /var/lib/forwarder: "
        "install -d -o nobody /var/lib/forwarder"
    )


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
@pytest.mark.parametrize("words", [REPLAY, PAUSE])
def test_a_command_that_may_not_write_a_file_of_the_store_names_the_file_and_its_owner(
    config: Path, suffix: str, words: tuple[str, ...]
) -> None:
    file = config.with_name(f"store.db{suffix}")
    file.touch()
    file.chmod(0o644)
    assert run(config, *words) == f"this user cannot write to {file}; {hint(file)}"


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("words", [REPLAY, *READING])
def test_a_command_that_may_not_read_a_file_of_the_store_names_the_file_and_its_owner(
    config: Path, suffix: str, words: tuple[str, ...]
) -> None:
    file = config.with_name(f"store.db{suffix}")
    file.touch()
    file.chmod(0o600)
    assert run(config, *words).endswith(f"; {hint(file)}")


def test_a_command_that_may_not_look_into_the_folder_of_the_store_names_the_folder(config: Path) -> None:
    inside = config.with_name("inside")
    inside.mkdir(mode=0o700)
    config.write_text(config.read_text().replace("store.db", "inside/store.db"))
    config.chmod(0o666)
    assert run(config, *PAUSE).endswith(f"; {hint(inside)}")


def test_an_error_of_a_store_whose_folder_was_closed_meanwhile_names_the_folder(config: Path) -> None:
    inside = config.with_name("inside")
    inside.mkdir(mode=0o700)
    store = inside / "store.db"
    store.touch()
    error = sqlite3.OperationalError("unable to open database file")
    assert as_nobody(lambda: str(to_store_error(store, error))).endswith(f"; {hint(inside)}")


def test_an_error_of_a_store_of_which_all_files_were_closed_meanwhile_names_one_owner(config: Path) -> None:
    for suffix in ("", "-wal"):
        file = config.with_name(f"store.db{suffix}")
        file.touch()
        file.chmod(0o600)
    error = sqlite3.OperationalError("unable to open database file")
    store = config.with_name("store.db")
    assert as_nobody(lambda: str(to_store_error(store, error))).endswith(f"; {hint(store)}")


@pytest.fixture
def read_only(config: Path) -> Iterator[Path]:
    """The folder of the store on a file system that is mounted read-only."""
    mount = ["mount", "--bind", "-o", "ro", str(config.parent), str(config.parent)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    yield config.parent
    subprocess.run(["umount", config.parent], check=True)


def test_a_store_on_a_read_only_file_system_needs_another_mount(config: Path, read_only: Path) -> None:
    wanted = f"store.path: this user cannot write to {read_only}; mount the file system for writing"
    assert wanted in invoke(config, "check").stderr
    assert wanted in as_nobody(lambda: invoke(config, "check").stderr)


def test_a_command_that_may_not_use_the_control_socket_names_the_socket_and_its_owner(config: Path) -> None:
    path = config.with_name("store.db.control")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        for words in (REPLAY, PAUSE, ("tap", "--since", "1h")):
            assert run(config, *words) == (
                f"the forwarder's control socket {path} cannot be reached (Permission denied); {hint(path)}"
            )


def test_a_backup_to_a_folder_that_is_closed_to_the_user_names_the_folder(config: Path) -> None:
    closed = config.with_name("closed")
    closed.mkdir(mode=0o700)
    assert (
        run(config, "backup", str(closed / "copy.db"))
        == f"this user cannot write to {closed / 'copy.db'}; {hint(closed)}"
    )


INIT = ("--org-url", "https://acme.okta.com", "--public-url", "https://hooks.acme.com", "--sink", "file")


@pytest.mark.parametrize("option", ["--secrets", "--store", "--config"])
def test_init_in_a_folder_that_is_closed_to_the_user_says_so(config: Path, option: str) -> None:
    closed = config.with_name("closed")
    closed.mkdir(mode=0o700)
    paths = {
        "--secrets": config.with_name("secrets"),
        "--store": config.with_name("new.db"),
        "--config": config.with_name("new.yaml"),
        "--sink-address": config.with_name("events.ndjson"),
    }
    paths[option] = closed / "inside" / "file"
    words = [str(word) for pair in paths.items() for word in pair if pair[0] != "--config"]
    line = run(paths["--config"], "init", *INIT, *words)
    assert line.startswith(str(closed))
    assert "cannot be written: Permission denied; choose another folder or file" in line


def test_a_bundle_in_a_folder_that_is_closed_to_the_user_names_its_file(config: Path) -> None:
    closed = config.with_name("closed")
    closed.mkdir(mode=0o700)
    line = run(config, *BUNDLE, str(closed / "bundle.tar.gz"))
    assert line.startswith(f"{closed / 'bundle.tar.gz'} cannot be written: Permission denied; name a file")
