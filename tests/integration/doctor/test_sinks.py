"""Staged faults at the sinks: each is named by its check, with what fixes it."""

import socket
import ssl
import time
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.certificates import Certificate, make_certificate
from tests.fakes.elasticsearch import FakeElasticsearch, Reply, error
from tests.fakes.otlp import Answer, FakeOtlpGrpc, FakeOtlpHttp
from tests.integration.doctor.scene import Scene, Table

STREAM = "logs-okta.system-default"
NOT_THERE = Reply(404, {"error": {"reason": "not found"}})
KEY = "id:key-of-the-tests"


def tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


def rights(**has: bool) -> Reply:
    return Reply(200, {"has_all_requested": all(has.values()), "cluster": {}, "index": {STREAM: has}})


def cluster(**changes: Any) -> FakeElasticsearch:
    """A server with security, a key that may only write, and no data stream yet."""
    server = FakeElasticsearch(**changes)
    server.answers = {
        "GET /_security/_authenticate": Reply(200, {"username": "u", "api_key": {"id": "k1", "name": "okta"}}),
        "GET /_security/api_key": Reply(200, {"api_keys": [{"id": "k1"}]}),
        "POST /_security/user/_has_privileges": rights(create_doc=True, auto_configure=True),
        f"GET /{STREAM}/_mapping/field/source.ip,@timestamp,user.name": NOT_THERE,
        "GET /_index_template": Reply(200, {"index_templates": []}),
        "GET /_nodes/ingest": Reply(200, {"nodes": {}}),
        "POST /_index_template/_simulate": Reply(200, {}),
    }
    for path in ("component_template/okta-forwarder@mappings", "index_template/okta-forwarder"):
        server.answers[f"GET /_{path}"] = NOT_THERE
    for name in ("logs@mappings", "logs@settings", "ecs@mappings"):
        server.answers[f"GET /_component_template/{name}"] = NOT_THERE
    server.answers["GET /_ingest/pipeline/okta-forwarder"] = NOT_THERE
    return server


async def look(folder: Path, sink: dict[str, Any], *words: str) -> Table:
    there = Scene(folder, "https://acme.okta.com", {"api": None, "hook": None})
    there.sections["sinks"] = {"siem": sink}
    return await there.doctor(*words)


def siem(*hosts: str, **changes: Any) -> dict[str, Any]:
    return {"kind": "elasticsearch", "hosts": list(hosts), "api_key": KEY} | changes


@pytest.mark.long
async def test_a_sound_cluster_lacks_only_our_templates(tmp_path: Path) -> None:
    async with cluster() as server:
        found = await look(tmp_path, siem(server.url), "elasticsearch")
    assert found.bad == {"elasticsearch.templates": "fail"}
    texts = [row["seen"] for row in found.rows if row["id"] == "elasticsearch.templates"]
    assert texts == [
        "siem: ingest pipeline okta-forwarder is missing",
        "siem: component template okta-forwarder@mappings is missing",
        "siem: index template okta-forwarder is missing",
    ]
    assert {row["mend"] for row in found.rows if row["verdict"] == "fail"} == {
        "run `forwarder setup elasticsearch --sink siem`"
    }
    assert [request.method for request in server.requests if request.method == "PUT"] == []


@pytest.mark.long
async def test_a_template_of_another_owner_that_takes_the_data_stream_is_named(tmp_path: Path) -> None:
    async with cluster() as server:
        other = {"name": "everything", "index_template": {"index_patterns": ["logs-*"], "priority": 100}}
        server.answers["GET /_index_template"] = Reply(200, {"index_templates": [other]})
        found = await look(tmp_path, siem(server.url), "elasticsearch.templates")
        assert "everything" in found.of("elasticsearch.templates", "siem: the index template")["seen"]
        other["index_template"]["priority"] = 900  # type: ignore[index]
        found = await look(tmp_path, siem(server.url), "elasticsearch.templates")
    row = found.of("elasticsearch.templates")
    assert (row["verdict"], "has a higher priority than ours" in row["seen"]) == ("fail", True)


async def test_a_source_ip_that_became_a_keyword_in_silence_is_named(tmp_path: Path) -> None:
    async with cluster() as server:
        kinds = {".ds-a-000001": "ip", ".ds-a-000002": "keyword"}
        server.answers[f"GET /{STREAM}/_mapping/field/source.ip,@timestamp,user.name"] = Reply(
            200,
            {index: {"mappings": {"source.ip": {"mapping": {"ip": {"type": kind}}}}} for index, kind in kinds.items()},
        )
        found = await look(tmp_path, siem(server.url), "elasticsearch.mapping")
    row = found.of("elasticsearch.mapping")
    assert (row["verdict"], "source.ip has the type keyword in .ds-a-000002, not ip" in row["seen"]) == ("fail", True)
    assert "forwarder setup elasticsearch --sink siem --rollover" in row["mend"]


async def test_an_index_in_the_place_of_the_data_stream_is_named(tmp_path: Path) -> None:
    async with cluster() as server:
        resolved = {"indices": [{"name": STREAM}], "aliases": [], "data_streams": []}
        server.answers[f"GET /_resolve/index/{STREAM}"] = Reply(200, resolved)
        row = (await look(tmp_path, siem(server.url), "elasticsearch.mapping")).of("elasticsearch.mapping")
    assert (row["verdict"], "an index or alias has the name" in row["seen"]) == ("fail", True)


async def test_a_wrong_key_is_named_and_later_checks_are_skipped(tmp_path: Path) -> None:
    async with cluster() as server:
        server.authorization = "ApiKey another"
        found = await look(tmp_path, siem(server.url), "elasticsearch")
    assert found.bad == {"elasticsearch.credentials": "fail"}
    assert "`sinks.siem.api_key`" in found.of("elasticsearch.credentials")["mend"]
    assert found.of("elasticsearch.rights")["seen"] == "siem: because elasticsearch.credentials failed"


async def test_a_key_without_the_right_to_write_is_named_with_the_right(tmp_path: Path) -> None:
    async with cluster() as server:
        server.answers["POST /_security/user/_has_privileges"] = rights(create_doc=False, auto_configure=True)
        found = await look(tmp_path, siem(server.url), "elasticsearch")
    assert found.of("elasticsearch.rights")["seen"] == f"siem: the credentials lack `create_doc` on {STREAM}"
    assert found.verdict("elasticsearch.templates") == "skip"


@pytest.mark.parametrize(("days", "verdict"), [(3, "warn"), (-1, "fail"), (300, "ok")])
async def test_a_key_near_its_end_is_named(tmp_path: Path, days: int, verdict: str) -> None:
    async with cluster() as server:
        end = (time.time() + days * 86400) * 1000
        server.answers["GET /_security/api_key"] = Reply(200, {"api_keys": [{"id": "k1", "expiration": end}]})
        found = await look(tmp_path, siem(server.url), "elasticsearch.key")
    assert found.verdict("elasticsearch.key") == verdict


async def test_http_for_https_and_https_for_http_are_named(tmp_path: Path, certificate: Certificate) -> None:
    async with cluster() as plain, cluster(tls=tls(certificate)) as secure:
        to_tls = await look(tmp_path, siem(secure.url.replace("https", "http")), "elasticsearch.reachable")
        to_plain = await look(tmp_path, siem(plain.url.replace("http", "https")), "elasticsearch.reachable")
    assert "write `https://`" in to_tls.of("elasticsearch.reachable")["mend"]
    assert "write `http://`" in to_plain.of("elasticsearch.reachable")["mend"]


@pytest.mark.long
async def test_a_private_ca_is_named_with_the_key_that_trusts_it(tmp_path: Path, certificate: Certificate) -> None:
    async with cluster(tls=tls(certificate)) as server:
        found = await look(tmp_path, siem(server.url), "elasticsearch.reachable")
        assert "set `ca_file`" in found.of("elasticsearch.reachable")["mend"]
        found = await look(tmp_path, siem(server.url, ca_file=str(certificate.cert)), "elasticsearch")
    row = found.of("elasticsearch.certificate")
    assert (found.verdict("elasticsearch.reachable"), row["verdict"]) == ("ok", "warn")
    assert "expires on" in row["seen"]


async def test_one_host_of_two_that_is_down_is_a_warning(tmp_path: Path) -> None:
    async with cluster() as server, FakeElasticsearch() as gone:
        url = gone.url
        await gone.hang_up()
        found = await look(tmp_path, siem(server.url, url), "elasticsearch.reachable")
    row = found.of("elasticsearch.reachable")
    assert (row["verdict"], url in row["seen"]) == ("warn", True)


async def test_one_host_of_two_that_is_down_fails_no_other_check(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with cluster() as server:
            for _ in range(4):  # the client begins with any of the two
                found = await look(tmp_path, siem(server.url, gone), "elasticsearch")
                assert found.bad == {"elasticsearch.reachable": "warn", "elasticsearch.templates": "fail"}


async def test_a_server_that_is_not_ready_does_not_pass_for_one_without_security(tmp_path: Path) -> None:
    for status, verdict in ((503, "fail"), (403, "fail"), (400, "ok"), (404, "ok"), (405, "ok")):
        async with cluster() as server:
            server.answers["GET /_security/_authenticate"] = error(status, "some_exception", "not ready yet")
            found = await look(tmp_path, siem(server.url), "elasticsearch.credentials")
        assert found.verdict("elasticsearch.credentials") == verdict


async def test_another_server_in_the_place_of_elasticsearch_is_named(tmp_path: Path) -> None:
    async with FakeElasticsearch() as server:
        server.always = Reply(200, "<html>", {"X-elastic-product": ""})
        found = await look(tmp_path, siem(server.url), "elasticsearch.reachable")
        assert "is not an Elasticsearch server" in found.of("elasticsearch.reachable")["seen"]
        server.always = Reply(502, "bad gateway", {"X-elastic-product": ""})
        found = await look(tmp_path, siem(server.url), "elasticsearch.reachable")
    assert "502" in found.of("elasticsearch.reachable")["seen"]


@pytest.mark.parametrize("body", [{}, [], "hello", None, {"version": "x"}, {"errorCode": "E0000011"}])
async def test_a_server_whose_json_is_not_elasticsearchs_is_one_finding_with_what_it_answered(
    tmp_path: Path, body: Any
) -> None:
    async with FakeElasticsearch() as server:
        server.always = Reply(200, body)
        found = await look(tmp_path, siem(server.url), "elasticsearch")
    row = found.of("elasticsearch.reachable")
    assert found.bad == {"elasticsearch.reachable": "fail"}
    assert f"{server.url} answers, but not as Elasticsearch does: " in row["seen"]
    assert row["mend"].startswith("check `sinks.siem.hosts`")


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        [],
        5,
        {"errorCode": "E0000011"},
        {
            "username": 5,
            "api_keys": [5],
            "has_all_requested": False,
            "index": {"a": 5},
            "index_templates": [5],
            "indices": 5,
        },
        {"username": "u", "api_key": {"id": "k"}, "api_keys": [{"id": "k", "expiration": 1e300}]},
        {"username": "u", "api_key": {"id": "k"}, "api_keys": [{"id": "k", "expiration": "soon"}]},
    ],
)
async def test_a_response_that_is_not_one_of_elasticsearch_is_named_by_each_check_and_is_no_bug(
    tmp_path: Path, body: Any
) -> None:
    async with cluster() as server:
        for path in (
            "GET /_security/_authenticate",
            "GET /_security/api_key",
            "POST /_security/user/_has_privileges",
            "GET /_index_template",
            f"GET /_resolve/index/{STREAM}",
            f"GET /{STREAM}/_mapping/field/source.ip,@timestamp,user.name",
        ):
            server.answers[path] = Reply(200, body)
        found = await look(tmp_path, siem(server.url), "elasticsearch")
    assert [row["seen"] for row in found.rows if "itself failed" in row["seen"]] == []
    for row in found.rows:
        if row["verdict"] == "fail":
            assert "is not one of Elasticsearch" in row["seen"]
            assert row["mend"].startswith("check the `hosts` of the sink")


async def test_a_server_without_security_needs_no_rights(tmp_path: Path) -> None:
    async with cluster() as server:
        for path in ("GET /_security/_authenticate", "POST /_security/user/_has_privileges"):
            server.answers[path] = error(400, "illegal_argument_exception", "no handler found for uri")
        found = await look(tmp_path, siem(server.url), "elasticsearch")
    assert found.verdict("elasticsearch.credentials") == found.verdict("elasticsearch.rights") == "ok"
    assert found.verdict("elasticsearch.key") == "skip"


@pytest.mark.parametrize("fake", [FakeOtlpHttp, FakeOtlpGrpc])
async def test_an_otlp_server_is_asked_with_an_empty_request(tmp_path: Path, fake: Any) -> None:
    protocol = "grpc" if fake is FakeOtlpGrpc else "http/protobuf"
    async with fake() as server:
        sink = {"kind": "otlp", "endpoint": server.url, "protocol": protocol}
        assert (await look(tmp_path, sink, "otlp")).verdict("otlp.export") == "ok"
        assert [len(request.records) for request in server.requests] == [0]
        server.always = Answer(401, grpc.StatusCode.UNAUTHENTICATED, "who are you")
        row = (await look(tmp_path, sink, "otlp")).of("otlp.export")
    assert (row["verdict"], "who are you" in row["seen"]) == ("fail", True)


@pytest.mark.long
async def test_an_otlp_server_of_a_private_ca_that_ends_soon(tmp_path: Path) -> None:
    own = make_certificate(tmp_path)
    async with FakeOtlpHttp(tls(own)) as server:
        sink = {"kind": "otlp", "endpoint": server.url}
        row = (await look(tmp_path, sink, "otlp")).of("otlp.export")
        assert (row["verdict"], "set `ca_file`" in row["mend"]) == ("fail", True)
        found = await look(tmp_path, sink | {"ca_file": str(own.cert)}, "otlp")
    assert (found.verdict("otlp.export"), found.verdict("otlp.certificate")) == ("ok", "warn")


async def test_a_file_sink_has_its_room_looked_at(tmp_path: Path) -> None:
    found = await look(tmp_path, {"kind": "file", "path": str(tmp_path / "x.ndjson")}, "file")
    assert found.of("file.disk")["seen"].startswith("siem: ")
    assert found.verdict("file.disk") in {"ok", "warn"}
