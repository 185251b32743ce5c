"""`forwarder tap` on a store: what it shows, in which form, and when it ends. Following: tests/e2e/test_commands.py."""

import asyncio
import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.cli.tap_store import Notice, TapOptions, from_store
from forwarder.core.event import Event, Source
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND
from forwarder.ops.event_view import EventFilter
from forwarder.settings import load
from tests.fakes.alert import alert_event
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import commands, delivered, event, opened, prune, settle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {"acme": {"secrets": ["the-secret-of-the-tap-tests"]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0", "token": "the-token-of-the-tap-tests"},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))
    return file


def happened(number: int, event_type: str = "user.session.start", **more: Any) -> Event:
    body = {
        "uuid": f"uuid-{number}",
        "eventType": event_type,
        "published": "2026-01-01T12:00:00.000Z",
        "actor": {"id": "00u1", "alternateId": more.pop("actor", "ada@acme.test"), "displayName": "Ada"},
        "outcome": {"result": more.pop("outcome", "SUCCESS")},
        "client": {"ipAddress": "192.0.2.7"},
        "target": [{"displayName": more.pop("target", "Payroll")}],
    }
    text = json.dumps(body, indent=more.pop("indent", None)).encode()
    received_at = NOON + number * SECOND
    org, source = more.pop("org", "acme"), more.pop("source", Source.HOOK)
    return Event(org, f"uuid-{number}", event_type, NOON, received_at, source, "", text)


def fill(config: Path, *stored: Event) -> None:
    async def work() -> None:
        async with opened(config.with_name("store.db"), sinks=("archive",)) as store:
            await store.append(Batch(stored), timeout=5)

    asyncio.run(work())


def run(config: Path, *words: Any) -> Result:
    arguments = ["tap", *map(str, words), "--config", str(config)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def numbers(done: Result) -> list[int]:
    assert done.exit_code == 0, done.output
    return [int(json.loads(line)["uuid"].removeprefix("uuid-")) for line in done.stdout.splitlines()]


@pytest.mark.long
def test_each_filter_selects(config: Path) -> None:
    fill(
        config,
        happened(1),
        happened(2, "user.session.end"),
        happened(3, actor="bob@acme.test", outcome="FAILURE"),
        happened(4, org="calm"),
        happened(5, source=Source.LOG),
    )
    assert numbers(run(config, "--no-follow")) == [1, 2, 3, 4, 5]
    assert numbers(run(config, "--no-follow", "--type", "user.session.s*")) == [1, 3, 4, 5]
    assert numbers(run(config, "--no-follow", "--type", "x", "--type", "user.*.end")) == [2]
    assert numbers(run(config, "--no-follow", "--actor", "BOB@")) == [3]
    assert numbers(run(config, "--no-follow", "--outcome", "failure")) == [3]
    assert numbers(run(config, "--no-follow", "--org", "calm")) == [4]
    assert numbers(run(config, "--no-follow", "--via", "log")) == [5]
    assert numbers(run(config, "--no-follow", "--limit", 2)) == [4, 5]
    assert numbers(run(config, "--no-follow", "--since", "2026-01-01T12:00:03Z")) == [3, 4, 5]
    assert numbers(run(config, "--no-follow", "--since", "2026-01-01", "--limit", 2)) == [1, 2]
    none = run(config, "--no-follow", "--actor", "eve")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "0 events shown\n")


@pytest.mark.long
def test_the_newest_are_found_behind_many_that_do_not_match(config: Path) -> None:
    wanted = [happened(number, "user.session.end") for number in (1, 2, 3)]
    fill(config, *wanted, *(happened(number) for number in range(10, 1_600)))
    assert numbers(run(config, "--no-follow", "--type", "user.session.end", "--limit", 2)) == [2, 3]
    assert numbers(run(config, "--no-follow"))[-1] == 1_599
    assert len(numbers(run(config, "--no-follow"))) == 20


def test_each_format_is_a_line_for_each_event(config: Path) -> None:
    fill(config, happened(1, indent=2), happened(2, outcome="FAILURE", target="evil\x1b[2Jname"))

    def lines(form: str) -> list[str]:
        done = run(config, "--no-follow", "--format", form)
        assert done.exit_code == 0
        return done.stdout.splitlines()

    raw = [json.loads(line) for line in lines("raw")]
    assert [one["client"]["ipAddress"] for one in raw] == ["192.0.2.7", "192.0.2.7"]
    assert [json.loads(line)["event"]["id"] for line in lines("ecs")] == ["uuid-1", "uuid-2"]
    assert [json.loads(line)["attributes"]["log.record.uid"] for line in lines("otlp")] == ["uuid-1", "uuid-2"]
    head, first, second = lines("table")
    assert head.split() == ["published", "source", "event_type", "outcome", "actor", "target", "client_ip"]
    assert first.split() == [
        "2026-01-01T12:00:00.000Z",
        "hook",
        "user.session.start",
        "SUCCESS",
        "ada@acme.test",
        "Payroll",
        "192.0.2.7",
    ]
    assert "\x1b" not in second
    assert r"evil\x1b[2Jname" in second


def test_a_long_value_is_cut_in_the_table_only(config: Path) -> None:
    fill(config, happened(1, actor="x" * 300_000))
    row = run(config, "--no-follow", "--format", "table").stdout.splitlines()[-1]
    assert "x… (300,000 characters)" in row
    assert len(row) < 1_000
    for form in ("json", "raw", "ecs"):
        assert "x" * 300_000 in run(config, "--no-follow", "--format", form).stdout


def with_sinks(config: Path, **sinks: Any) -> None:
    tree = json.loads(config.read_text())
    tree["sinks"] |= sinks
    config.write_text(json.dumps(tree))


@pytest.mark.long
def test_it_shows_what_a_sink_gets_filtered_redacted_and_in_its_form(config: Path) -> None:
    fill(config, happened(1), happened(2, "user.account.lock"), alert_event(at=NOON + 9 * SECOND))
    shared = {"redact": ["actor.alternateId", "client.ipAddress"]}
    siem = {"kind": "elasticsearch", "hosts": ["https://es.internal:9200"], "api_key": {"env": "NOT_SET_HERE"}}
    with_sinks(
        config,
        siem=siem | shared | {"only": ["user.session.*"], "namespace": "prod", "tags": ["ours"]},
        whole=siem | {"document_format": "raw"},
        traces={"kind": "otlp", "endpoint": "http://127.0.0.1:4318"} | shared,
        copy={"kind": "file", "path": str(config.with_name("copy.ndjson")), "format": "raw"} | shared,
    )

    def lines(sink: str, *words: str) -> list[Any]:
        done = run(config, "--no-follow", "--sink", sink, *words)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    (session,) = lines("siem")
    assert (session["data_stream"]["namespace"], "ours" in session["tags"]) == ("prod", True)
    assert (session["okta"]["actor"]["alternate_id"], "ip" in session.get("client", {})) == ("[redacted]", False)
    assert [one["event"].get("kind") for one in lines("whole")] == [None, None, "alert"]
    assert len(lines("traces")) == len(lines("copy")) == 3
    assert lines("copy")[0]["client"]["ipAddress"] == "[redacted]"
    assert "ada@acme.test" not in json.dumps([lines("siem"), lines("traces"), lines("copy")])
    (row,) = lines("siem", "--format", "json")
    assert (row["uuid"], row["actor"], row["client_ip"]) == ("uuid-1", "[redacted]", "[redacted]")


@pytest.mark.long
def test_fields_are_redacted_in_every_format_and_filters_still_find_them(config: Path) -> None:
    broken = msgspec.structs.replace(happened(2), body=b'{"actor":{"alternateId":"ada@acme.test"}')
    fill(config, happened(1), broken)
    for form in ("table", "json", "raw", "ecs", "otlp"):
        done = run(config, "--no-follow", "--format", form, "--redact", "actor.alternateId")
        assert (done.exit_code, "ada@acme.test" in done.stdout) == (0, False)
        assert done.stdout.count("\n") == (3 if form == "table" else 2)
    found = run(config, "--no-follow", "--format", "json", "--redact", "actor.alternateId", "--actor", "ada@")
    assert numbers(found) == [1]


async def test_it_says_how_many_are_no_longer_held(config: Path) -> None:
    clock = ManualClock()
    async with opened(config.with_name("store.db"), clock, sinks=("archive",), retention="1h") as store:
        await store.append(Batch([happened(1), happened(2)]), timeout=5)
        await settle(store, "archive", delivered(2, 2))
        await clock.advance(7_200)
        await store.append(Batch([event("uuid-3", received_at=clock.now())]), timeout=5)
        await prune(store)
    done = run(config, "--no-follow", "--since", "2026-01-01")
    assert numbers(done) == [3]
    assert done.stderr == "2 older events are no longer stored (store.retention)\n"


@pytest.mark.long
async def test_a_slow_reader_is_told_what_it_missed(config: Path) -> None:
    clock, path = ManualClock(), config.with_name("store.db")
    async with opened(path, clock, sinks=("archive",), retention="1h") as store:
        await store.append(Batch([happened(number) for number in range(1, 1_001)]), timeout=20)
        wanted = TapOptions(EventFilter(), NOON, follow=False, limit=None, seconds=None, form=None)
        source = from_store(load(config).store, commands(path), wanted)
        first = next(source)
        await settle(store, "archive", delivered(1_000, 1_000))
        await clock.advance(7_200)
        await store.append(Batch([event("uuid-1001", received_at=clock.now())]), timeout=5)
        await prune(store)
        rest = list(source)
    notices = [item.text for item in rest if isinstance(item, Notice)]
    lines = [item["seq"] for item in (first, *rest) if not isinstance(item, Notice)]
    assert notices == ["500 events were skipped: the store has dropped them"]
    assert lines == [*range(1, 501), 1_001]


def test_without_a_running_forwarder_following_ends_and_says_why(config: Path) -> None:
    fill(config, happened(1))
    done = run(config, "--since", "2026-01-01")
    assert numbers(done) == [1]
    assert "no forwarder runs on this store; only the events in the store are shown" in done.stderr


def test_without_a_store_it_ends_with_1(config: Path) -> None:
    done = run(config)
    assert done.exit_code == 1
    assert "there is no store at" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--for", "30"), "'30' is not a time; write a number with a unit, as in 500ms, 2s, 5m, 1h or 7d"),
        (("--for", "99999d"), "'99999d' is too large; write at most 36500d"),
        (("--limit", "0"), "--limit"),
        (("--since", "yesterday"), "'yesterday' is not a time"),
        (("--url", "http://127.0.0.1:1", "--no-follow"), "need the store"),
        (("--format", "xml"), "--format"),
        (("--sink", "siem"), "unknown sink 'siem'; known sinks: archive"),
        (("--redact", "aktor.id"), "did you mean actor.id?"),
        (("--redact", "uuid"), "uuid identifies the event"),
        (("--url", "http://127.0.0.1:1", "--sink", "archive"), "remove --url, or the other option"),
    ],
)
def test_wrong_usage_ends_with_2(config: Path, words: tuple[str, ...], problem: str) -> None:
    done = run(config, *words)
    assert done.exit_code == 2
    assert problem in done.stderr


def test_a_refusal_of_the_ops_listener_says_what_is_missing(config: Path) -> None:
    done = run(config, "--url", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "http://127.0.0.1:9 cannot be read" in done.stderr
    assert "`ops.listen`" in done.stderr


@pytest.mark.long
def test_another_server_is_not_taken_for_a_forwarder(config: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run(config, "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert done.exit_code == 1
    assert "has no live stream (404); name the forwarder's ops listener" in done.stderr


HTML, STREAM = "text/html", "text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    ("status", "kind", "body", "told"),
    [
        (200, HTML, b"<html>Welcome</html>", "not with the live stream of a forwarder: <html>Welcome</html>; name"),
        (200, "application/json", b"", "not with the live stream of a forwarder: (empty); name"),
        (302, HTML, b"", "redirects to elsewhere.example"),
        (200, STREAM, b"event: event\ndata: 5\n\n", "cannot be read"),
        (200, STREAM, b"event: event\ndata: {}\n\n", "a line that is not an event of a forwarder"),
        (200, STREAM, b'event: event\ndata: {"a"\n\n', "cannot be read"),
        (200, STREAM, b"event: event\ndata: " + b"[" * 5_000 + b"]" * 5_000 + b"\n\n", "cannot be read"),
        (200, STREAM, b"event: skipped\ndata: []\n\n", "cannot be read"),
    ],
)
def test_what_is_not_the_live_stream_of_a_forwarder_is_told_and_no_password_is_shown(
    config: Path, status: int, kind: str, body: bytes, told: str
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("location", "https://elsewhere.example/login")
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run(config, "--url", f"http://ada:planted-password@127.0.0.1:{server.server_port}")
        server.shutdown()
    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr
    assert "planted-password" not in done.output


@contextlib.contextmanager
def repeating(*answer: bytes) -> Iterator[str]:
    """The address of a server that sends the parts of this answer, and repeats the last part without end."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            for part in itertools.chain(answer, itertools.repeat(answer[-1])):
                connection.sendall(part)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((STREAM_HEAD, 1_000_000 * b"x"), "a line has more than 16,777,216 bytes"),
        ((b"HTTP/1.1 200 OK\r\nx: ", 100_000 * b"x"), "cannot be read"),
    ],
)
def test_a_line_or_a_header_without_an_end_is_not_read_without_end(
    config: Path, answer: tuple[bytes, ...], told: str
) -> None:
    with repeating(*answer) as url:
        done = run(config, "--url", url)
    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr
    assert "name the forwarder's ops listener" in done.stderr


def test_a_line_without_an_end_does_not_outlast_the_time_of_the_command(config: Path) -> None:
    with repeating(STREAM_HEAD + b"data: ", b"x") as url:
        done = run(config, "--url", url, "--for", "1s")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "0 events shown")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "odd://x"])
def test_a_proxy_that_cannot_be_used_is_no_traceback(config: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    done = run(config, "--url", "http://forwarder.example:9464")
    assert (done.exit_code, "forwarder.example:9464 cannot be read: " in done.stderr) == (1, True)


def test_a_server_that_never_answers_is_an_error_at_the_end_of_the_time_too(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run(config, "--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--for", "0.3s")
    assert (done.exit_code, "has not answered within 0.3 s; name the forwarder's" in done.stderr) == (1, True)


def test_a_line_separator_in_an_event_ends_no_line(config: Path) -> None:
    event = dict.fromkeys(("published", "source", "event_type", "outcome", "actor", "target", "client_ip"), "a\u2028b")
    line = b"event: event\r\ndata: " + json.dumps(event, ensure_ascii=False).encode() + b"\r\n\r\n"
    with repeating(STREAM_HEAD + line, b": \n") as url:
        done = run(config, "--url", url, "--limit", "1", "--format", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, event)


def test_an_org_that_neither_the_configuration_nor_the_store_has_is_refused(config: Path) -> None:
    fill(config, happened(1, org="removed"))
    assert numbers(run(config, "--no-follow", "--org", "removed")) == [1]
    done = run(config, "--no-follow", "--org", "acmee")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--org: unknown org 'acmee'; known orgs: acme, removed" in done.stderr
