"""Natural mistakes: each is named by `doctor`, with what fixes it, before anybody has to read the log."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from forwarder.emulator.emulator import Emulator
from tests.certificates import Certificate, make_expired_certificate
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_org import okta_org
from tests.fakes.otlp import Answer, FakeOtlpGrpc, FakeOtlpHttp
from tests.integration.doctor.scene import Scene


@dataclass
class World:
    """Everything that a configuration can name, and all of it sound."""

    folder: Path
    okta: Emulator
    proxy: HookReceiver
    elasticsearch: FakeElasticsearch
    secure: FakeElasticsearch
    http: FakeOtlpHttp
    grpc: FakeOtlpGrpc
    certificate: Certificate
    nothing: str  # an address at which nothing listens


class Mistake(NamedTuple):
    """What is written, and what is said of it.

    Attributes:
        org: changes to the section of the org.
        sections: changes to the other sections.
        check: the check that names it.
        verdict: its verdict.
        seen: a part of what it saw.
        fix: a part of what fixes it.
    """

    org: dict[str, Any]
    sections: dict[str, Any]
    check: str
    verdict: str
    seen: str
    fix: str


def org(check: str, seen: str, fix: str, verdict: str = "fail", **changes: Any) -> Mistake:
    return Mistake(changes, {}, check, verdict, seen, fix)


def section(name: str, content: Any, check: str, seen: str, fix: str, verdict: str = "fail") -> Mistake:
    return Mistake({}, {name: content}, check, verdict, seen, fix)


def sink(content: dict[str, Any], check: str, seen: str, fix: str, verdict: str = "fail") -> Mistake:
    return section("sinks", {"out": content}, check, seen, fix, verdict)


def siem(host: str, **more: Any) -> dict[str, Any]:
    return {"kind": "elasticsearch", "hosts": [host]} | more


def otlp(endpoint: str, **more: Any) -> dict[str, Any]:
    return {"kind": "otlp", "endpoint": endpoint} | more


def hook(**more: Any) -> dict[str, Any]:
    return {"hook": {"uri": "https://hooks.example.com/okta/events", "events": ["user.session.start"]} | more}


def written(world: World, name: str, content: str, mode: int) -> dict[str, str]:
    path = world.folder / name
    path.write_text(content)
    path.chmod(mode)
    return {"file": str(path)}


def not_found(world: World) -> str:
    world.http.always = Answer(404, text="404 page not found")
    return f"{world.http.url}/v1/nothing"


STRONG = "nGm1GZq0mVjxNKKWnmWWPmTc0y4pJv6V"

MISTAKES: dict[str, Callable[[World], Mistake]] = {
    "a key with a typo": lambda w: section("receiver", {"lisen": "127.0.0.1:1"}, "config.valid", "receiver.lisen", "listen"),
    "an event type with a typo": lambda w: org("config.valid", "user.session.strat", "user.session.start", **hook(events=["user.session.strat"])),
    "an unset variable": lambda w: org("config.valid", "the environment variable NOT_SET is not set", "set it", secrets=[{"env": "NOT_SET"}]),
    "a variable as a shell writes it": lambda w: org("config.valid", "the value contains a variable", "{env: NAME}", secrets=["${SECRET}"]),
    "a missing secret file": lambda w: org("config.valid", "cannot be read", "create it", secrets=[{"file": "/run/secrets/nothing"}]),
    "the admin console as url": lambda w: org("config.valid", "Admin Console", "-admin", url="https://acme-admin.okta.com"),
    "plain http to Okta": lambda w: org("config.valid", "must begin with https://", "check", url="http://acme.okta.com"),
    "a kind with a typo": lambda w: sink({"kind": "elastic"}, "config.valid", "must be one of elasticsearch, file, otlp", "forwarder check"),
    "a size without a unit": lambda w: section("store", {"path": "/x", "max_size": "10"}, "config.valid", "is not a size", "with a unit"),
    "a weak secret": lambda w: org("secret.strength", "guessed", "openssl rand", "warn", secrets=["hunter2"]),
    "a secret that all can read": lambda w: org("secret.rights", "every user", "chmod 600", "warn", secrets=[written(w, "open", STRONG, 0o644)]),
    "a missing folder": lambda w: section("store", {"path": f"{w.folder}/nothing/s.db"}, "store.path", "there is no folder", "create it"),
    "a folder without rights": lambda w: section("store", {"path": "/proc/s.db"}, "store.path", "cannot write", "let the forwarder's user"),
    "a file that cannot be written": lambda w: sink({"kind": "file", "path": "/proc/x/okta.ndjson"}, "file.rights", "cannot write", "let the forwarder's user"),
    "a folder for a file": lambda w: sink({"kind": "file", "path": str(w.folder)}, "file.path", "is not a file", "name the file"),
    "something else in the store's place": lambda w: section("store", {"path": written(w, "text", "hello" * 50, 0o600)["file"]}, "store.path", "is not a store", "move it away"),
    "an expired certificate": lambda w: section("receiver", {"tls": {key: str(path) for key, path in make_expired_certificate(w.folder)._asdict().items()}}, "certificate.expiry", "has expired", "renew it"),
    "another one's key": lambda w: section("receiver", {"tls": {"cert": str(w.certificate.cert), "key": str(make_expired_certificate(w.folder).key)}}, "config.valid", "does not belong to the certificate", "private key"),
    "plain http for all": lambda w: section("receiver", {"listen": "0.0.0.0:0"}, "listener.exposure", "plain HTTP", "receiver.tls", "warn"),
    "an address of another machine": lambda w: section("ops", {"listen": "192.0.2.1:9464"}, "listener.address", "not an address of this machine", "0.0.0.0"),
    "another path in Okta": lambda w: org("hook.path", "its path differs", "forwarder hooks sync", "warn", **hook(uri="https://hooks.example.com/okta/event")),
    "a port in use": lambda w: section("receiver", {"listen": f"127.0.0.1:{w.elasticsearch.port}"}, "listener.port", "another program", "ss -ltnp"),
    "a wrong host of Okta": lambda w: org("okta.reachable", "connection refused", "orgs.acme.url", url=w.nothing),
    "a host of Okta that does not exist": lambda w: org("okta.reachable", "cannot be resolved", "orgs.acme.url", url="https://acme.invalid"),
    "a wrong token": lambda w: org("okta.log", "E0000011", "create a new one", api={"token": "00wrong0token"}),
    "a hook that does not exist": lambda w: org("hook.exists", "no event hook", "forwarder hooks sync", hook={"uri": w.proxy.url, "events": ["user.session.start"]}),
    "a hook address that nothing serves": lambda w: org("hook.reachable", "connection refused", "hook.uri", hook={"uri": f"{w.nothing}/okta/events"}),
    "a wrong host of Elasticsearch": lambda w: sink(siem("http://es.invalid:9200"), "elasticsearch.reachable", "cannot be resolved", "check `hosts`"),
    "a wrong port of Elasticsearch": lambda w: sink(siem(w.nothing), "elasticsearch.reachable", "connection refused", "check `hosts`"),
    "http for https": lambda w: sink(siem(w.secure.url.replace("https", "http")), "elasticsearch.reachable", "no response", "write `https://`"),
    "https for http": lambda w: sink(siem(w.elasticsearch.url.replace("http", "https")), "elasticsearch.reachable", "TLS failed", "write `http://`"),
    "a private CA": lambda w: sink(siem(w.secure.url), "elasticsearch.reachable", "not from a CA", "set `ca_file`"),
    "a wrong key": lambda w: sink(siem(w.elasticsearch.url, api_key="another:key"), "elasticsearch.credentials", "401", "sinks.out.api_key"),
    "events in clear": lambda w: sink(siem("http://es.internal:9200"), "sink.transport", "unencrypted", "use https://", "warn"),
    "the port of gRPC": lambda w: sink(otlp(w.grpc.url), "otlp.export", "does not answer in HTTP/1.1", "protocol: grpc"),
    "the port of HTTP": lambda w: sink(otlp(w.elasticsearch.url, protocol="grpc"), "otlp.export", "HTTP", "protocol: http/protobuf"),
    "a wrong port of the Collector": lambda w: sink(otlp(w.nothing), "otlp.export", "nothing listens there", "check `endpoint`"),
    "a wrong path of the Collector": lambda w: sink(otlp(not_found(w)), "otlp.export", "404", "/v1/logs"),
}  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path, certificate: Certificate) -> AsyncIterator[World]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with AsyncExitStack() as open_:
            server = await open_.enter_async_context(FakeElasticsearch())
            server.authorization = "ApiKey aWQ6a2V5"  # id:key
            yield World(
                tmp_path,
                await open_.enter_async_context(okta_org()),
                await open_.enter_async_context(HookReceiver()),
                server,
                await open_.enter_async_context(FakeElasticsearch(context)),
                await open_.enter_async_context(FakeOtlpHttp()),
                await open_.enter_async_context(FakeOtlpGrpc()),
                certificate,
                f"http://127.0.0.1:{nobody.getsockname()[1]}",
            )


@pytest.mark.long
@pytest.mark.parametrize("name", MISTAKES)
async def test_a_natural_mistake_is_named_with_what_fixes_it(world: World, name: str) -> None:
    mistake = MISTAKES[name](world)
    there = Scene(world.folder, world.okta.settings.url, dict(mistake.org), dict(mistake.sections))
    found = await there.doctor(mistake.check)
    said = [row for row in found.rows if row["verdict"] == mistake.verdict and mistake.seen in row["seen"]]
    assert said, found.rows
    assert mistake.fix in said[0]["mend"], said
    assert found.code == (2 if mistake.check == "config.valid" else mistake.verdict == "fail")
