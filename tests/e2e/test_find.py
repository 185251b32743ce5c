"""`forwarder find` beside a running forwarder and a real Elasticsearch."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.okta import Sender, changed, happenings
from tests.e2e.streams import Stream
from tests.e2e.test_pipeline import drained
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

REDACTED = "[redacted]"


async def test_find_says_whether_the_document_is_there_and_it_lacks_what_is_redacted(
    tmp_path: Path, elasticsearch: Elasticsearch, request: pytest.FixtureRequest
) -> None:
    stream = Stream(elasticsearch)
    stream.template(message="keyword")
    siem = {"kind": "elasticsearch", "hosts": [elasticsearch.url], "namespace": stream.namespace}
    siem |= {"except": ["zone.*"], "redact": ["actor", "client.ipAddress", "displayMessage"]}
    forwarder = ForwarderProcess(tmp_path / "forwarder", {"siem": siem})
    request.addfinalizer(forwarder.kill)
    forwarder.start()
    sent, filtered = happenings(2)
    sent, filtered = changed(sent, eventType="user.session.start"), changed(filtered, eventType="zone.create")
    await Sender(forwarder.url).load([sent, filtered])
    ledger = await drained(forwarder, 60)
    assert (ledger["sinks"]["siem"]["delivered"], ledger["sinks"]["siem"]["filtered"]) == (1, 1)

    async def find(uuid: str) -> dict[str, Any]:
        printed = await asyncio.to_thread(forwarder.run, "find", uuid, "--json")
        found: dict[str, Any] = json.loads(printed.stdout)["events"][0]["sinks"]["siem"]
        return found

    elasticsearch.call("POST", f"/{stream.name}/_refresh")
    here = await find(sent[0])
    assert (here["place"], here["document"]["found"]) == ("delivered", True)
    assert here["document"]["index"].startswith(f".ds-{stream.name}-")
    away = await find(filtered[0])
    assert (away["place"], away["document"]["found"]) == ("filtered", False)
    (hit,) = elasticsearch.call("GET", f"/{stream.name}/_search")["hits"]["hits"]
    assert hit["_source"]["okta"]["display_message"] == REDACTED
    assert "actor" not in hit["_source"]["okta"]
    address = json.loads(sent[1])["client"]["ipAddress"]
    assert address not in json.dumps(hit["_source"]["okta"]["client"])
    forwarder.stop()
