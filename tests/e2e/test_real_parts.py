"""The real servers are what the other tests take them for."""

import json
import urllib.request

import pytest

from tests.conftest import CollectorFactory
from tests.stack.collector import Collector
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.process import StackError


def test_the_shared_elasticsearch_makes_a_data_stream_at_the_first_write(elasticsearch: Elasticsearch) -> None:
    elasticsearch.call(
        "PUT", "/_index_template/parts", {"index_patterns": ["parts-*"], "data_stream": {}, "priority": 500}
    )
    lines = '{"create": {"_id": "a"}}\n{"@timestamp": "2026-01-01T00:00:00Z"}\n'
    elasticsearch.call("POST", "/parts-one/_bulk?refresh=true", lines)
    again = elasticsearch.call("POST", "/parts-one/_bulk?refresh=true", lines)
    assert again["items"][0]["create"]["status"] == 409
    assert elasticsearch.call("GET", "/parts-one/_count")["count"] == 1


def _post_log(collector: Collector, uid: str) -> None:
    record = {
        "timeUnixNano": "1",
        "body": {"stringValue": "text"},
        "attributes": [{"key": "log.record.uid", "value": {"stringValue": uid}}],
    }
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    request = urllib.request.Request(
        f"{collector.http_endpoint}/v1/logs", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_a_collector_keeps_its_file_over_a_restart(collector: Collector) -> None:
    _post_log(collector, "first")
    collector.restart()
    _post_log(collector, "second")
    collector.stop()
    assert collector.uids() == ["first", "second"]


def test_a_collector_that_cannot_start_shows_its_log(collector_server: CollectorFactory) -> None:
    first = collector_server()
    second = collector_server(start=False)
    second.http_port = first.http_port
    with pytest.raises(StackError, match="address already in use"):
        second.start()
