"""A reload applies all or nothing, and compares with what runs."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import structlog
import yaml
from click.testing import CliRunner

from forwarder import __main__ as entry
from forwarder import tls as tls_files
from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.config_check import new_problems, problems
from forwarder.core.errors import ForwarderError
from forwarder.settings import Settings, load, read
from tests import waiting
from tests.certificates import Certificate, make_certificate, make_expired_certificate
from tests.e2e.okta import envelope, happenings
from tests.fakes.okta_server import TOKEN, OktaServer

POLL = "1s"


def config(directory: Path, **changes: Any) -> dict[str, Any]:
    """A configuration with one org and one sink."""
    return {
        "orgs": {"acme": {"secrets": [{"file": str(directory / "secret")}]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "store": {"path": str(directory / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(directory / "archive.ndjson")}},
        "reconcile": {"poll": POLL},
    } | changes


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(settings, SystemClock())
    await forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop(grace=0)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("old-secret")
    return tmp_path


@pytest.fixture
def lines() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


def _end(path: Path) -> datetime:
    certificate = tls_files.read(path)
    assert certificate
    return certificate.end


async def post(address: object, secret: str, seed: int = 1) -> int:
    _, body = next(happenings(1, seed=seed))
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(
            f"http://{address}/okta/events", content=envelope([body]), headers={"Authorization": secret}
        )
    return response.status_code


until = partial(waiting.until, seconds=20)


# --- all or nothing


@pytest.mark.long
@pytest.mark.parametrize(
    "broken",
    [
        {"sinks": {"archive": {"kind": "file", "path": "HERE"}, "siem": {"kind": "elasticsearch", "hosts": ["https://es"], "ca_file": "HERE/secret"}}},
        {"orgs": {"acme": {"secrets": ["new-secret"], "url": "https://acme.okta.com/path", "api": {"token": "t"}}}},
        {"orgs": {"acme": {"secrets": ["new-secret"], "api": {"token": "t"}}}},
        {"orgs": {"acme": {"secrets": [{"file": "HERE/nothing"}]}}},
        {"orgs": {}},
        {"rules": {"files": ["HERE/nothing.yml"]}, "orgs": {"acme": {"secrets": ["new-secret"]}}},
        {"sinks": {}},
        {"ops": {"listen": "nowhere"}},
    ],
)  # fmt: skip
async def test_a_refused_reload_changes_nothing_under_load(here: Path, broken: dict[str, Any]) -> None:
    async with running(read(config(here))) as forwarder:
        before = forwarder.settings
        statuses: list[int] = []

        async def load_it() -> None:
            statuses.extend([await post(forwarder.server.address, "old-secret", seed) for seed in range(40)])

        loading = asyncio.create_task(load_it())
        for _ in range(3):
            text = yaml.safe_dump(config(here) | broken).replace("HERE", str(here))
            with pytest.raises(ForwarderError):
                await forwarder.reload(read(yaml.safe_load(text)))
            await asyncio.sleep(0.01)
        await loading
        assert set(statuses) == {200}
        assert await post(forwarder.server.address, "new-secret") == 401
        assert forwarder.settings is before
        await until(lambda: len((here / "archive.ndjson").read_text().splitlines()) == 40)


@pytest.mark.long
async def test_rules_that_cannot_run_are_refused_again_and_change_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "filters.txt").write_text('eventType eq "user.session.start"')
    changes = {"rules": {"files": [str(here / "filters.txt")]}, "orgs": {"acme": {"secrets": ["new-secret"]}}}
    async with running(read(config(here))) as forwarder:
        monkeypatch.setattr("forwarder.rules.evaluation.engine.RuleGroups", None)
        for _ in range(2):
            with pytest.raises(TypeError):
                await forwarder.reload(read(config(here, **changes)))
            assert await post(forwarder.server.address, "new-secret") == 401
        monkeypatch.undo()
        await forwarder.reload(read(config(here, **changes)))
        assert await post(forwarder.server.address, "new-secret") == 200
        assert ((await forwarder.status.gather())["rules"] or {}).get("loaded")


@pytest.mark.long
async def test_after_the_repair_a_refused_reload_is_applied(here: Path, certificate: Certificate) -> None:
    async with running(read(config(here))) as forwarder:
        ca = here / "ca.pem"
        ca.write_text("broken")
        siem = {"kind": "elasticsearch", "hosts": ["https://127.0.0.1:1"], "ca_file": str(ca)}
        changed = config(here, sinks={"siem": siem}, orgs={"acme": {"secrets": ["new-secret"]}})
        with pytest.raises(ForwarderError):
            await forwarder.reload(read(changed, files=False))
        ca.write_bytes(certificate.cert.read_bytes())
        await forwarder.reload(read(changed))
        assert await post(forwarder.server.address, "new-secret") == 200
        assert list((await forwarder.status.gather())["sinks"]) == ["siem"]


@pytest.mark.long
async def test_a_reload_adds_and_removes_sinks(here: Path, lines: list[Any]) -> None:
    more = {"second": {"kind": "file", "path": str(here / "second.ndjson"), "start": "oldest"}}
    sinks = config(here)["sinks"]
    async with running(read(config(here))) as forwarder:
        await post(forwarder.server.address, "old-secret", 1)
        await forwarder.reload(read(config(here, sinks=sinks | more)))
        await post(forwarder.server.address, "old-secret", 2)
        await until(lambda: len((here / "second.ndjson").read_text().splitlines()) == 2)
        await forwarder.reload(read(config(here, sinks=more)))
        await post(forwarder.server.address, "old-secret", 3)
        await until(lambda: len((here / "second.ndjson").read_text().splitlines()) == 3)
        status = await forwarder.status.gather()
        assert (list(status["sinks"]), status["balanced"]) == (["second"], True)
        assert "archive" not in forwarder.metrics.render("")[0].decode().partition("sink_up")[2][:200]
    assert len((here / "archive.ndjson").read_text().splitlines()) == 2
    assert "restart_needed" not in [line["action"] for line in lines]


@pytest.mark.long
async def test_a_file_sink_keeps_its_file_through_a_reload(here: Path) -> None:
    raw = {"kind": "file", "path": str(here / "archive.ndjson"), "format": "raw"}
    async with running(read(config(here))) as forwarder:
        await post(forwarder.server.address, "old-secret", 1)
        await until((here / "archive.ndjson").read_text)
        await forwarder.reload(read(config(here, sinks={"archive": raw})))
        await post(forwarder.server.address, "old-secret", 2)
        await until(lambda: len((here / "archive.ndjson").read_text().splitlines()) == 2)
    assert "eventType" in (here / "archive.ndjson").read_text().splitlines()[1]


@pytest.mark.long
@pytest.mark.parametrize(
    "after",
    [
        {"renamed": "archive.ndjson", "second": "second.ndjson"},
        {"archive": "second.ndjson", "second": "archive.ndjson"},
        {"archive": "link/archive.ndjson", "second": "second.ndjson"},
        {"second": "archive.ndjson"},
    ],
    ids=["renamed", "exchanged", "by a link", "passed on"],
)
async def test_a_file_passes_from_one_sink_to_another_in_a_reload(
    here: Path, lines: list[Any], after: dict[str, str]
) -> None:
    (here / "link").symlink_to(here)

    def sinks(files: dict[str, str]) -> dict[str, Any]:
        return {name: {"kind": "file", "path": str(here / file)} for name, file in files.items()}

    before = {"archive": "archive.ndjson", "second": "second.ndjson"}
    async with running(read(config(here, sinks=sinks(before)))) as forwarder:
        await post(forwarder.server.address, "old-secret", 1)
        await until((here / "archive.ndjson").read_text)
        await forwarder.reload(read(config(here, sinks=sinks(after))))
        await post(forwarder.server.address, "old-secret", 2)
        for file in {here / name for name in after.values()}:
            await until(lambda: len(file.read_text().splitlines()) >= 2)  # noqa: B023  # it is awaited here
    assert "reload_waits" not in [line["action"] for line in lines]


class _HangingDisk:
    """The disk of `archive.ndjson`, which hangs in a sync until `end` is set."""

    def __init__(self) -> None:
        self.is_reached, self.end = threading.Event(), threading.Event()
        self._fsync = os.fsync

    def fsync(self, file: int) -> None:
        if Path(f"/proc/self/fd/{file}").readlink().name == "archive.ndjson":
            self.is_reached.set()
            self.end.wait()
        self._fsync(file)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[_HangingDisk]:
    disk = _HangingDisk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    yield disk
    disk.end.set()


@pytest.mark.long
async def test_a_disk_that_hangs_holds_up_neither_a_reload_nor_the_stop(
    here: Path, lines: list[Any], hanging: _HangingDisk
) -> None:
    changed = {"kind": "file", "path": str(here / "archive.ndjson"), "format": "raw"}
    other = {"kind": "file", "path": str(here / "other.ndjson")}
    async with running(read(config(here))) as forwarder, asyncio.timeout(60):
        await post(forwarder.server.address, "old-secret", 1)
        await until(hanging.is_reached.is_set)
        for secret, sinks in (("one", {"archive": changed}), ("two", {"other": other})):
            orgs = {"acme": {"secrets": [secret]}}
            await forwarder.reload(read(config(here, orgs=orgs, sinks=sinks)))
            assert await post(forwarder.server.address, secret, 2) == 200
        assert "sink_not_closed" in [line["action"] for line in lines]


@pytest.mark.long
async def test_a_changed_sink_starts_when_the_disk_of_the_old_one_is_back(here: Path, hanging: _HangingDisk) -> None:
    changed = {"kind": "file", "path": str(here / "archive.ndjson"), "format": "raw"}
    async with running(read(config(here))) as forwarder:
        await post(forwarder.server.address, "old-secret", 1)
        await until(hanging.is_reached.is_set)
        await forwarder.reload(read(config(here, sinks={"archive": changed})))
        hanging.end.set()
        await until(lambda: b"eventType" in (here / "archive.ndjson").read_bytes())
        assert await post(forwarder.server.address, "old-secret", 2) == 200
        await until(lambda: len((here / "archive.ndjson").read_text().splitlines()) >= 2)


async def test_the_status_shows_the_size_of_the_store_in_force(here: Path) -> None:
    store = config(here)["store"]
    async with running(read(config(here, store=store | {"max_size": "1GiB"}))) as forwarder:
        await forwarder.reload(read(config(here, store={"path": str(here / "b.db"), "max_size": "2GiB"})))
        assert (await forwarder.status.gather())["store_max_bytes"] == 1 << 30
        assert forwarder.settings.store.path == here / "store.db"


@pytest.mark.long
async def test_what_waits_for_a_restart_is_named_by_each_reload_until_it_is_taken_back(
    here: Path, lines: list[Any]
) -> None:
    store = config(here)["store"]
    async with running(read(config(here))) as forwarder:
        for size in ("1GiB", "1GiB", "10GiB"):
            await forwarder.reload(read(config(here, store=store | {"max_size": size})))
    assert [line["section"] for line in lines if line["action"] == "restart_needed"] == ["store", "store"]


# --- an org that is gone


@pytest.mark.long
async def test_an_org_that_is_taken_out_is_polled_no_more_and_not_in_the_status(here: Path) -> None:
    async with OktaServer() as okta:
        polled = {"url": okta.url, "api": {"token": TOKEN}, "secrets": ["other-secret"], "path": "/other"}
        acme = config(here)["orgs"]
        async with running(read(config(here, orgs=acme | {"other": polled}))) as forwarder:
            await okta.called(1)
            assert "other" in (await forwarder.status.gather())["okta"]
            await forwarder.reload(read(config(here)))
            calls = len(okta.calls)
            status = await forwarder.status.gather()
            assert list(status["okta"]) == ["acme"]
            assert 'reconcile_lag_seconds{org="other"}' not in forwarder.metrics.render("")[0].decode()
            assert await post(forwarder.server.address, "old-secret") == 200
            await asyncio.sleep(1.5)  # one poll and a half
            assert len(okta.calls) == calls


@pytest.mark.long
async def test_a_refused_reload_leaves_the_polling_alone(here: Path) -> None:
    async with OktaServer() as okta:
        org = {"url": okta.url, "api": {"token": TOKEN}, "secrets": ["old-secret"]}
        async with running(read(config(here, orgs={"acme": org}))) as forwarder:
            await okta.called(1)
            taken = {"kind": "file", "path": str(here / "nothing" / "..")}
            with suppress(ForwarderError):
                await forwarder.reload(
                    read(config(here, orgs={"acme": org | {"url": "https://x/y"}}, sinks={"a": taken}))
                )
            calls = len(okta.calls)
            await okta.called(calls + 1)


# --- files that change in place


@pytest.mark.long
async def test_a_certificate_that_was_renewed_in_place_is_served_after_a_reload(here: Path) -> None:
    tls = make_certificate(here)
    receiver = {"listen": "127.0.0.1:0", "tls": {"cert": str(tls.cert), "key": str(tls.key)}}

    async def serial() -> str:
        address = forwarder.server.address
        return await asyncio.to_thread(ssl.get_server_certificate, (address.host, address.port))

    async with running(read(config(here, receiver=receiver))) as forwarder:
        before = await serial()
        (here / "again").mkdir()
        again = make_certificate(here / "again")
        tls.cert.write_bytes(again.cert.read_bytes())
        tls.key.write_bytes(again.key.read_bytes())
        await forwarder.reload(read(config(here, receiver=receiver)))
        assert await serial() == again.cert.read_text()
        assert before != again.cert.read_text()
        end = _end(again.cert)
        assert end is not None
        labels = {"setting": "receiver.tls.cert"}
        name = "forwarder_certificate_expiry_timestamp_seconds"
        assert forwarder.metrics.registry.get_sample_value(name, labels) == end.timestamp()
        (problem,) = (await forwarder.status.gather())["problems"]
        assert "the certificate in receiver.tls.cert expires in" in problem["text"]


@pytest.mark.long
async def test_the_ops_listener_serves_its_certificate_and_a_renewed_one_after_a_reload(
    here: Path, lines: list[Any]
) -> None:
    one, two = make_certificate(here, "one"), make_certificate(here, "two")
    served = here / "cert.pem", here / "key.pem"

    def install(certificate: Certificate) -> None:
        for source, target in zip((certificate.cert, certificate.key), served, strict=True):
            target.write_bytes(source.read_bytes())

    install(one)
    tls = {"cert": str(served[0]), "key": str(served[1])}
    settings = read(config(here, ops={"listen": "127.0.0.1:0", "tls": tls}))
    assert set(served) <= settings.files()
    async with running(settings) as forwarder:
        host, _, port = str(forwarder.ops.address).rpartition(":")

        def shown() -> str:
            return ssl.get_server_certificate((host, int(port)))

        assert await asyncio.to_thread(shown) == one.cert.read_text()
        async with httpx.AsyncClient(
            trust_env=False, verify=ssl.create_default_context(cafile=str(one.cert))
        ) as client:
            assert (await client.get(f"https://{host}:{port}/livez")).text == "alive\n"
        install(two)
        await forwarder.reload(settings)
        assert await asyncio.to_thread(shown) == two.cert.read_text()
        metrics = forwarder.metrics.render("")[0].decode()
        assert 'setting="ops.tls.cert"' in metrics
        await forwarder.reload(read(config(here)))
        assert [line["section"] for line in lines if line["action"] == "restart_needed"] == ["ops"]


@pytest.mark.long
async def test_hosts_that_are_allowed_by_a_reload_are_answered(here: Path, lines: list[Any]) -> None:
    async with running(read(config(here))) as forwarder:

        async def status(host: str) -> int:
            async with httpx.AsyncClient(trust_env=False) as client:
                url = f"http://{forwarder.ops.address}/metrics"
                return (await client.get(url, headers={"Host": host})).status_code

        assert await status("siem.example.com") == 403
        await forwarder.reload(read(config(here, ops={"listen": "127.0.0.1:0", "allowed_hosts": ["siem.example.com"]})))
        assert (await status("siem.example.com"), await status("other.example.com")) == (200, 403)
        await forwarder.reload(read(config(here, ops={"listen": "127.0.0.1:0", "url": "https://siem.example.com"})))
        assert (await status("siem.example.com"), await status("other.example.com")) == (200, 403)
        await forwarder.reload(read(config(here)))
        assert await status("siem.example.com") == 403
    assert "restart_needed" not in [line["action"] for line in lines]


@pytest.mark.long
async def test_a_renewed_certificate_is_served_without_a_signal_and_named(here: Path) -> None:
    def issue(name: str) -> Certificate:
        (here / name).mkdir()
        return make_certificate(here / name)

    def switch(name: str) -> None:
        # As Kubernetes does for a Secret: both files are reached by one link, which is replaced in one step.
        (here / "next").symlink_to(here / name)
        (here / "next").rename(here / "live")

    async def served() -> str:
        host, _, port = address.rpartition(":")
        return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))

    async def serves(cert: Path) -> None:
        async with asyncio.timeout(20):
            while await served() != cert.read_text():
                await asyncio.sleep(0.05)

    first, second, third = issue("first"), issue("second"), issue("third")
    switch("first")
    live = Certificate(here / "live" / first.cert.name, here / "live" / first.key.name)
    receiver = {"listen": "127.0.0.1:0", "tls": {"cert": str(live.cert), "key": str(live.key)}}
    async with Process(here, receiver=receiver) as there:
        address = await there.started()
        assert await served() == first.cert.read_text()
        switch("second")
        await serves(second.cert)
        await until(lambda: there.actions("certificate_replaced"))
        (line,) = there.actions("certificate_replaced")
        shown = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", second.cert], capture_output=True, text=True, check=True)  # fmt: skip
        assert line["serial"] == shown.stdout.strip().removeprefix("serial=")
        assert line["setting"] == "receiver.tls.cert"
        assert line["valid_until"] == str(_end(second.cert)).replace(" ", "T")
        # As certbot does, one file after the other: until both fit, the old one is served.
        before = await served()
        live.cert.write_bytes(third.cert.read_bytes())
        await until(lambda: there.actions("reload_failed"))
        assert await served() == before
        live.key.write_bytes(third.key.read_bytes())
        await serves(third.cert)
        await until(lambda: len(there.actions("certificate_replaced")) == 2)
        assert len(there.actions("reload_failed")) == 1


@pytest.mark.long
async def test_a_ca_that_was_mended_in_place_is_used_after_a_reload(here: Path, certificate: Certificate) -> None:
    ca = here / "ca.pem"
    ca.write_bytes(certificate.cert.read_bytes())
    siem = {"kind": "elasticsearch", "hosts": ["https://127.0.0.1:1"], "ca_file": str(ca)}
    async with running(read(config(here, sinks={"siem": siem}))) as forwarder:
        worker = forwarder._delivery.workers["siem"]  # whether it is another one cannot be seen outside
        await forwarder.reload(read(config(here, sinks={"siem": siem})))
        assert forwarder._delivery.workers["siem"] is worker
        (here / "again").mkdir()
        ca.write_bytes(make_certificate(here / "again").cert.read_bytes())
        await forwarder.reload(read(config(here, sinks={"siem": siem})))
        assert forwarder._delivery.workers["siem"] is not worker


# --- the process


def flat(line: bytes) -> dict[str, Any]:
    """A log line with its action and its own fields on top."""
    found: dict[str, Any] = yaml.safe_load(line)
    return {**found, **found.get("okta_forwarder", {}), "action": found["event"].get("action", "")}


class Process:
    """A forwarder as a process, with its log lines."""

    def __init__(self, here: Path, program: tuple[str, ...] = ("-m", "forwarder"), **changes: Any) -> None:
        self.here = here
        self.program = program
        self.changes = changes
        self.config = here / "forwarder.yaml"
        self.lines: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self.write(config(self.here, **self.changes))
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self.program, "run", "--config", self.config, stderr=asyncio.subprocess.PIPE
        )
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self.reading

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(flat(line) if line.startswith(b"{") else {"action": "", "text": line.decode()})

    def write(self, tree: dict[str, Any] | str) -> None:
        self.config.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))

    def actions(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["action"] == name]

    async def get(self, path: str) -> httpx.Response:
        ops = self.actions("started")[0]["ops"]
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://{ops}{path}")

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.get("/api/status")).json()
        return found

    async def metric(self, name: str) -> float:
        text = (await self.get("/metrics")).text
        return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])

    async def started(self) -> str:
        await until(lambda: self.actions("started"))
        return str(self.actions("started")[0]["receiver"])


@pytest.mark.long
@pytest.mark.parametrize(
    "broken",
    ["log: {{ level }}", "? [a, b]", "x: 2024-99-99", 'orgs: {a: {secrets: ["\\ud800x"]}}', 'orgs: {a: {url: "https://[::1"}}', "[" * 5000, "\t", None],
)  # fmt: skip
async def test_no_broken_configuration_ends_the_reloads(here: Path, broken: str | None) -> None:
    async with Process(here) as there:
        address = await there.started()
        there.config.unlink()
        if broken is None:
            os.mkfifo(there.config)
        else:
            there.write(broken)
        there.process.send_signal(signal.SIGHUP)
        await until(lambda: there.actions("reload_failed"))
        assert await there.metric("forwarder_config_last_reload_successful") == 0
        (problem,) = (await there.status())["problems"]
        assert problem["text"].startswith("the last reload was refused, and the old configuration stays in force: ")
        (line,) = there.actions("reload_failed")
        assert "stack_trace" not in line["error"]
        assert "forwarder check" in line["hint"]
        there.config.unlink()
        there.write(config(here))
        (here / "secret").write_text("new-secret")
        await until(lambda: there.actions("reloaded"))
        assert await there.metric("forwarder_config_last_reload_successful") == 1
        assert (await there.status())["problems"] == []
        assert await post(address, "new-secret") == 200
        assert await post(address, "old-secret") == 401


_NO_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from forwarder.__main__ import main

def submit(self, call, *args, submit=ThreadPoolExecutor.submit):
    if Path({file!r}).exists():
        raise RuntimeError("can't start new thread")
    return submit(self, call, *args)

ThreadPoolExecutor.submit = submit
main()
"""


@pytest.mark.long
async def test_a_system_without_a_free_thread_does_not_end_the_reloads(here: Path) -> None:
    file = here / "no-threads"
    async with Process(here, ("-c", _NO_THREADS.format(file=str(file)))) as there:
        address = await there.started()
        file.touch()
        there.process.send_signal(signal.SIGHUP)
        await until(lambda: there.actions("reload_failed"))
        assert "can't start new thread" in str(there.actions("reload_failed")[0]["error"])
        file.unlink()
        (here / "secret").write_text("new-secret")
        await until(lambda: there.actions("reloaded"))
        assert await post(address, "new-secret") == 200


@pytest.mark.long
async def test_a_signal_with_a_bad_section_of_reactions_is_refused_and_shown(here: Path) -> None:
    async with Process(here) as there:
        address = await there.started()
        there.write(config(here, reactions={"mode": "enforce", "on": [{"level": "high", "do": ["suspnd"]}]}))
        (here / "secret").write_text("new-secret")
        there.process.send_signal(signal.SIGHUP)
        await until(lambda: there.actions("reload_failed"))
        assert "reactions.on" in there.actions("reload_failed")[0]["error"]["message"]
        (problem,) = (await there.status())["problems"]
        assert "the last reload was refused" in problem["text"]
        assert "reactions.on" in problem["text"]
        assert await there.metric("forwarder_config_last_reload_successful") == 0
        assert await post(address, "old-secret") == 200
        assert await post(address, "new-secret") == 401


@pytest.mark.long
@pytest.mark.parametrize(
    "refused",
    [
        {"sinks": {"archive": {"kind": "file", "path": "HERE"}}},
        {"sinks": {"archive": {"kind": "file", "path": "HERE/pipe"}}},
        {"sinks": {"archive": {"kind": "file", "path": "HERE/secret/below.ndjson"}}},
        {"sinks": {"archive": {"kind": "file", "path": "/proc/x/okta.ndjson"}}},
        {"sinks": {"siem": {"kind": "elasticsearch", "hosts": ["https://es"], "ca_file": "HERE/old.crt"}}},
        {"store": {"path": "HERE/nothing/store.db"}},
        {"receiver": {"listen": "192.0.2.1:8080"}},
    ],
)  # fmt: skip
def test_a_reload_refuses_what_check_refuses_with_the_same_line(here: Path, refused: dict[str, Any]) -> None:
    os.mkfifo(here / "pipe")
    make_expired_certificate(here)
    running = read(config(here))
    file = here / "forwarder.yaml"
    file.write_text(yaml.safe_dump(config(here) | refused).replace("HERE", str(here)))
    checked = CliRunner().invoke(main, ["check", "--config", str(file)])
    assert checked.exit_code == 2
    (line,) = new_problems(load(file), running)
    assert line in checked.output


@pytest.mark.long
async def test_a_reload_logs_the_warnings_that_it_causes_and_no_others(here: Path) -> None:
    async with Process(here) as there:
        await there.started()
        known = len(there.actions("config_warning"))
        assert known
        there.write(config(here, ops={"listen": "127.0.0.1:0", "token": "x"}))
        there.process.send_signal(signal.SIGHUP)
        await until(lambda: there.actions("config_warning")[known:])
        (line,) = there.actions("config_warning")[known:]
        assert line["message"].startswith("ops.token: is so short or simple that it can be guessed")


@pytest.mark.long
async def test_a_process_keeps_its_sink_when_the_new_path_is_a_folder(here: Path) -> None:
    async with Process(here) as there:
        address = await there.started()
        there.write(config(here, sinks={"archive": {"kind": "file", "path": str(here)}}))
        there.process.send_signal(signal.SIGHUP)
        await until(lambda: there.actions("reload_failed"))
        assert "sinks.archive.path: " in there.actions("reload_failed")[0]["error"]["message"]
        assert await post(address, "old-secret") == 200
        await until((here / "archive.ndjson").read_text)


def test_what_the_settings_in_force_suffer_too_keeps_no_reload_out(here: Path) -> None:
    old = make_expired_certificate(here)
    changes: dict[str, Any] = {
        "sinks": {
            "archive": {"kind": "file", "path": "/proc/x/okta.ndjson"},
            "siem": {"kind": "elasticsearch", "hosts": ["https://es"], "ca_file": str(old.cert)},
        },
        "receiver": {"listen": "127.0.0.1:0", "tls": {"cert": str(old.cert), "key": str(old.key)}},
    }
    running = read(config(here, **changes))
    assert problems(running)
    (here / "secret").write_text("new-secret")
    assert new_problems(read(config(here, **changes)), running) == []
    changes["sinks"]["archive"]["format"] = "raw"
    assert new_problems(read(config(here, **changes)), running) == []


def test_a_reload_does_not_look_at_the_disk_of_a_file_that_stays_where_it_is(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.TemporaryFile

    def create(dir: Path) -> Any:  # noqa: A002  # as in tempfile
        assert dir.name != "archive", "its disk may hang"
        return real(dir=dir)

    (here / "archive").mkdir()
    archive = {"kind": "file", "path": str(here / "archive/okta.ndjson")}
    running = read(config(here, sinks={"archive": archive}))
    changed = read(config(here, sinks={"archive": archive | {"delivery": {"timeout": "3s"}}}))
    monkeypatch.setattr(tempfile, "TemporaryFile", create)
    assert new_problems(changed, running) == []


@pytest.mark.long
async def test_a_process_starts_with_what_may_pass_and_names_it(here: Path) -> None:
    old = make_expired_certificate(here)
    sinks = {
        "archive": {"kind": "file", "path": str(here / "archive.ndjson")},
        "disk": {"kind": "file", "path": "/proc/x/okta.ndjson"},
        "siem": {"kind": "elasticsearch", "hosts": ["https://127.0.0.1:1"], "ca_file": str(old.cert)},
    }
    async with Process(here, sinks=sinks) as there:
        await there.started()
        named = [line["message"].partition(":")[0] for line in there.actions("config_problem")]
        assert named == ["sinks.disk.path", "sinks.siem.ca_file"]


@pytest.mark.long
async def test_a_broken_configuration_and_a_changed_secret_are_one_line(here: Path) -> None:
    async with Process(here) as there:
        address = await there.started()
        there.write("log: {{ level }}")
        (here / "secret").write_text("new-secret")
        await until(lambda: there.actions("reload_failed"))
        await asyncio.sleep(4.5)  # two more looks at the files
        assert len(there.actions("reload_failed")) == 1
        there.write(config(here))
        await until(lambda: there.actions("reloaded"))
        assert await post(address, "new-secret") == 200


@pytest.mark.long
@pytest.mark.parametrize("kind", ["fifo", "folder", "unreadable"])
async def test_a_secret_file_that_cannot_be_read_is_a_refused_reload_until_it_is_repaired(
    here: Path, kind: str
) -> None:
    async with Process(here) as there:
        address = await there.started()
        secret = here / "secret"
        secret.unlink()
        if kind == "fifo":
            os.mkfifo(secret)
        elif kind == "folder":
            secret.mkdir()
        else:
            secret.symlink_to(secret)
        await until(lambda: there.actions("reload_failed"))
        assert f"the file {secret} cannot be read: " in there.actions("reload_failed")[0]["error"]["message"]
        assert await post(address, "old-secret") == 200
        secret.rmdir() if kind == "folder" else secret.unlink()
        secret.write_text("new-secret")
        await until(lambda: there.actions("reloaded"))
        assert await post(address, "new-secret") == 200
        there.process.terminate()
        async with asyncio.timeout(10):
            assert await there.process.wait() == 0


@pytest.mark.long
async def test_a_hangup_in_the_first_second_does_not_end_it(here: Path) -> None:
    async with Process(here) as there:
        await asyncio.sleep(0.3)  # the interpreter has started, and imports
        for _ in range(20):
            there.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
        await there.started()
        assert there.process.returncode is None


@pytest.mark.long
async def test_a_sigterm_together_with_a_hangup_ends_it(here: Path) -> None:
    async with Process(here) as there:
        await there.started()
        await asyncio.sleep(0.5)  # until the task that reloads waits
        there.process.send_signal(signal.SIGSTOP)  # so that both signals arrive in the same turn of the event loop
        there.process.send_signal(signal.SIGHUP)
        there.process.send_signal(signal.SIGTERM)
        there.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(10):
            assert await there.process.wait() == 0


@pytest.mark.long
async def test_a_second_sigterm_ends_it_at_once(here: Path) -> None:
    async with Process(here) as there:
        address = await there.started()
        host, _, port = address.rpartition(":")
        # A request that never ends keeps the first stop waiting for `receiver.grace`.
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /okta/events HTTP/1.1\r\nhost: x\r\nauthorization: old-secret\r\ncontent-length: 9\r\n\r\n{"
        )
        await writer.drain()
        there.process.send_signal(signal.SIGTERM)
        await until(lambda: there.actions("stopping"))
        there.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await there.process.wait() == 128 + signal.SIGTERM
        writer.close()


@pytest.mark.long
@pytest.mark.parametrize("command", ["check --help", "check --config nowhere.yaml", "--version"])
def test_an_output_that_cannot_be_written_is_one_line_and_ends_with_1(command: str) -> None:
    done = subprocess.run(  # a shell redirects
        f"{sys.executable} -m forwarder {command} >/dev/full 2>&1", shell=True, check=False
    )
    assert done.returncode == 1
    shown = subprocess.run(
        f"{sys.executable} -m forwarder --version >/dev/full", shell=True, check=False, capture_output=True, text=True
    )
    assert (shown.returncode, shown.stderr) == (1, "the output cannot be written: No space left on device\n")


@pytest.mark.long
def test_what_the_terminal_cannot_show_is_escaped(here: Path) -> None:
    path = here / "forwarder.yaml"
    path.write_text(yaml.safe_dump(config(here, sinks={"a": {"kind": "file", "path": str(here / "łódź")}})))
    done = subprocess.run(
        [sys.executable, "-m", "forwarder", "config", "show", "--config", path],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u0142\xf3d\\u017a" in done.stdout


def test_a_file_that_cannot_be_used_is_not_taken_for_the_output(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        Path("/nowhere/file").stat()

    monkeypatch.setattr("forwarder.cli.main.main", fail)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit):
        entry.main()
    assert capfd.readouterr().err == "/nowhere/file: No such file or directory\n"


@pytest.mark.long
@pytest.mark.parametrize("command", ["run", "hooks list", "backup copy.db"])
def test_in_a_folder_that_was_removed_it_says_so_and_does_nothing(here: Path, command: str) -> None:
    path, gone = here / "forwarder.yaml", here / "gone"
    path.write_text(yaml.safe_dump(config(here)))
    gone.mkdir()
    done = subprocess.run(
        f"rmdir {gone}; exec {sys.executable} -m forwarder {command} --config {path}",
        shell=True,
        check=False,
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=20,
    )
    text = "the current folder does not exist any more; change to another folder, and run the command again\n"
    assert (done.returncode, done.stderr) == (2, text)
    assert not (here / "store.db").exists()


@pytest.mark.long
@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
async def test_without_its_streams_it_runs_all_the_same(here: Path, streams: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = here / "forwarder.yaml"
    path.write_text(yaml.safe_dump(config(here, receiver={"listen": f"127.0.0.1:{port}"})))
    process = await asyncio.create_subprocess_shell(f"exec {sys.executable} -m forwarder run --config {path} {streams}")
    try:
        async with asyncio.timeout(20):
            while True:
                with suppress(httpx.ConnectError):
                    assert await post(f"127.0.0.1:{port}", "old-secret") == 200
                    break
                await asyncio.sleep(0.1)
    finally:
        process.terminate()
    assert await process.wait() == 0
    assert (here / "store.db").read_bytes()[:15] == b"SQLite format 3"
