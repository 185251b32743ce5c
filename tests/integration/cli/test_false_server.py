"""Commands that find another program at the control socket of the store, or a forwarder of another version."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.core.ports import Batch, Settlement
from tests.integration.store.helpers import events, opened, rejections, settle

ACCEPTED = b'{"accepted":true}\n'


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a store that has events, a dead letter, and events of a sink that was removed."""
    folder = tmp_path_factory.mktemp("store")
    tree = {
        "orgs": {"acme": {"url": "http://127.0.0.1:9", "api": {"token": "x" * 20}}},
        "store": {"path": str(folder / "store.db")},
        "sinks": {"siem": {"kind": "elasticsearch", "hosts": ["http://es:9200"]}},
    }
    (folder / "forwarder.yaml").write_text(json.dumps(tree))

    async def fill() -> None:
        async with opened(folder / "store.db", sinks=("siem", "gone")) as store:
            await store.append(Batch(events(3)), timeout=5)
            await settle(store, "siem", Settlement(2, delivered=1, dead=rejections(2)))
        async with opened(folder / "store.db", sinks=("siem",)):
            pass

    asyncio.run(fill())
    return folder / "forwarder.yaml"


@contextmanager
def answering(config: Path, answer: bytes) -> Iterator[None]:
    """A program at the control socket that gives this answer to whatever it is asked, and then closes."""
    path = config.with_name("store.db.control")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(1 << 16)
                        connection.sendall(answer)
                    except OSError:  # the command has given up
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--config", str(config)], catch_exceptions=False)


COMMANDS = {
    "dead-letters replay": ("dead-letters", "replay", "--all"),
    "dead-letters discard": ("dead-letters", "discard", "--all", "--yes"),
    "forget-sink": ("forget-sink", "gone", "--yes"),
    "replay": ("replay", "--sink", "siem", "--since", "2026-01-01", "--yes"),
    "backfill": ("backfill", "--since", "1h"),
    "backup": ("backup", "copy.db"),
    "pause": ("reactions", "pause", "--why", "a test"),
    "resume": ("reactions", "resume"),
    "approve": ("reactions", "approve", "12345678"),
    "undo": ("reactions", "undo", "12345678", "--why", "a test"),
}
FALSE_ANSWERS: dict[str, bytes] = {
    "text": b"220 mail.example ESMTP\r\n",
    "no text": b"\xff\xfe\x00\n",
    "no object": b"[1]\n",
    "an empty object": b"{}\n",
    "deep": b"[" * 100_000 + b"\n",
    "a wrong accepted": b'{"accepted":"yes"}\n',
    "a wrong error": b'{"error":5}\n',
    "no result": ACCEPTED + b'{"result":null}\n',
    "a result of another type": ACCEPTED + b'{"result":"many"}\n',
    "another object": ACCEPTED + b'{"result":{"taken":"x","key":1,"file":[]}}\n',
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("answer", FALSE_ANSWERS)
def test_a_command_names_the_process_at_the_socket_that_is_no_forwarder(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, answer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with answering(config, FALSE_ANSWERS[answer]):
        done = run(config, *COMMANDS[command])
    assert done.exit_code == 1, done.output
    line = done.stderr.splitlines()[-1]
    assert "store.db.control (pid " in line
    assert "does not answer as a forwarder of this version does" in line
    assert line.endswith("if it is a forwarder, restart it; if it is another program, end it, and remove this socket")


@pytest.mark.parametrize("command", ["replay", "backfill", "backup"])
@pytest.mark.parametrize("progress", [b"5", b'{"taken":[]}', b'{"type":"plan","since":"x"}', b'{"type":"odd"}'])
def test_a_progress_of_another_type_is_no_traceback(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, progress: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    with answering(config, ACCEPTED + b'{"progress":' + progress + b"}\n"):
        done = run(config, *COMMANDS[command])
    assert done.exit_code == 1
    assert "does not answer as a forwarder of this version does" in done.stderr


GO_ON = {
    "dead-letters replay": "see: forwarder dead-letters list",
    "dead-letters discard": "see: forwarder dead-letters list",
    "forget-sink": "see: forwarder stats",
    "replay": "when the forwarder runs again, continue with: forwarder replay --sink siem --resume",
    "backfill": "run the same command again to resume",
    "backup": "run the same command again",
    "pause": "see: forwarder reactions list",
    "approve": "see: forwarder reactions list",
}


@pytest.mark.parametrize("command", GO_ON)
@pytest.mark.parametrize("answer", [b"", ACCEPTED, ACCEPTED + b'{"resu'])
def test_a_command_whose_forwarder_stops_says_how_to_go_on(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, answer: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    with answering(config, answer):
        done = run(config, *COMMANDS[command])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].endswith(
        f"did not answer (it has stopped); it may have carried out the request; {GO_ON[command]}"
    )


@pytest.mark.parametrize("answer", [*FALSE_ANSWERS.values(), ACCEPTED + b'{"result":{"sinks":{"siem":[]},"okta":5}}\n'])
def test_find_says_that_the_process_at_the_socket_is_no_forwarder(config: Path, answer: bytes) -> None:
    with answering(config, answer):
        done = run(config, "find", "--offline", "--type", "user.session.start")
    assert done.exit_code == 0
    assert "does not answer as a forwarder of this version does" in done.stderr


def test_tap_ends_when_the_process_at_the_socket_is_no_forwarder(config: Path) -> None:
    with answering(config, b"220 mail.example ESMTP\r\n"):
        done = run(config, "tap", "--since", "2026-01-01")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 3
