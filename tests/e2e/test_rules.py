"""Elastic's public rules over the documents of planted events, in an Elasticsearch set up by the product."""

import asyncio
import os
from typing import Any

import eql
import msgspec
import pytest

from forwarder.core.event import StoredEvent
from forwarder.ecs.document import DocumentOptions, document
from tests import shared_data
from tests.conftest import require
from tests.e2e import rules_page
from tests.e2e.eql_rules import Rule
from tests.e2e.esql_columns import columns
from tests.e2e.planting import Plant, Planter, wanted_by_query
from tests.e2e.rules_page import Verdict
from tests.e2e.streams import Stream
from tests.fakes.clock import NOON
from tests.stack import kql
from tests.stack.elasticsearch import Elasticsearch

pytestmark = [shared_data.needs(shared_data.RULES), pytest.mark.timeout(300)]

OF_ALERTS = ("kibana.", "signal.")
"""Fields of the alerts that Kibana writes; rules about alerts read them from another index."""

SILENT = {
    # Elastic's own integration does not set it either: an agent does that runs on a cloud's machine.
    "First Occurrence of Okta User Session Started via Proxy": "`cloud.account.id` is in no Okta event"
}


def rules(language: str) -> list[dict[str, Any]]:
    found = msgspec.json.decode(shared_data.RULES.read_bytes()) if shared_data.RULES.exists() else []
    return [rule for rule in found if rule.get("language") == language]


class Field:
    """A data stream with the plants of all KQL rules, and events on which none of them should fire."""

    def __init__(self, server: Elasticsearch) -> None:
        self.rules = rules("kuery")
        self.queries = kql.query_dsl([rule["query"] for rule in self.rules])
        self.stream = Stream(server)
        planter = Planter(7, NOON)
        wanted = [wanted_by_query(query) for query in self.queries]
        self.plants = [_plants(planter, rule, want) for rule, want in zip(self.rules, wanted, strict=True)]
        usual = {"okta.debug_context.debug_data.threat_suspected": False, "okta.outcome.result": "SUCCESS"}
        self.others = [
            planter.plant({"event.action": name, **usual})
            for name in ("user.session.end", "group.lifecycle.create", "user.lifecycle.create")
        ]
        events = [plant.event for plants in (*self.plants, self.others) for plant in plants]
        asyncio.run(self._deliver([StoredEvent(seq, event) for seq, event in enumerate(events, 1)]))
        server.call("POST", f"/{self.stream.name}/_refresh")
        assert len(self.ids()) == len(events)

    async def _deliver(self, batch: list[StoredEvent]) -> None:
        sink = self.stream.sink()
        try:
            assert len((await sink.send(batch)).delivered) == len(batch)
        finally:
            await sink.close()

    def search(self, *filters: dict[str, Any], **more: Any) -> Any:
        body = {"size": 1000, "_source": False, "query": {"bool": {"filter": list(filters)}}, **more}
        return self.stream.server.call("POST", f"/{self.stream.name}/_search", body)

    def ids(self, *filters: dict[str, Any]) -> set[str]:
        return {hit["_id"] for hit in self.search(*filters)["hits"]["hits"]}

    def verdict(self, number: int) -> Verdict:
        """Whether a rule fires on its plants: its query, and what its kind asks for besides."""
        rule, query = self.rules[number], self.queries[number]
        planted = {plant.event.uuid for plant in self.plants[number]}
        own = {"ids": {"values": sorted(planted)}}
        if not planted <= self.ids(query):
            return Verdict(fires=False, remark="its query does not match")
        for field in _new_terms(rule):
            if not planted <= self.ids(query, {"exists": {"field": field}}):
                return Verdict(fires=False, remark=f"`{field}` is in no Okta event")
        if rule["type"] == "threshold" and not self._over_threshold(rule["threshold"], query, own):
            return Verdict(fires=False, remark="its threshold is not reached")
        return Verdict(fires=True)

    def _over_threshold(self, threshold: dict[str, Any], *filters: dict[str, Any]) -> bool:
        (field,) = threshold["field"]
        counted = {
            f"distinct{number}": {"cardinality": {"field": each["field"]}}
            for number, each in enumerate(threshold.get("cardinality", []))
        }
        groups = {"terms": {"field": field, "min_doc_count": threshold["value"]}, "aggs": counted}
        found = self.search(*filters, aggs={"groups": groups})["aggregations"]["groups"]["buckets"]
        return any(
            all(
                bucket[f"distinct{number}"]["value"] >= each["value"]
                for number, each in enumerate(threshold.get("cardinality", []))
            )
            for bucket in found
        )


def _plants(planter: Planter, rule: dict[str, Any], wanted: dict[str, Any]) -> list[Plant]:
    if rule["type"] != "threshold":
        return [planter.plant(wanted | dict.fromkeys(_new_terms(rule, known=True), "never seen"))]
    threshold = rule["threshold"]
    apart = threshold.get("cardinality", [])
    count = max([threshold["value"], *(each["value"] for each in apart)])
    return list(planter.several(wanted, count, threshold["field"], [each["field"] for each in apart]))


def _new_terms(rule: dict[str, Any], *, known: bool = False) -> list[str]:
    """The fields whose values must be new; `known`: only those that an Okta event has."""
    terms = rule.get("new_terms") or {}
    return [name for name in terms.get("value", []) if not (known and name.startswith("cloud."))]


@pytest.fixture(scope="module")
def field(prepared_elasticsearch: Elasticsearch) -> Field:
    require(kql.missing())
    return Field(prepared_elasticsearch)


@pytest.fixture(scope="module")
def verdicts(field: Field) -> dict[str, Verdict]:
    return {rule["name"]: field.verdict(number) for number, rule in enumerate(field.rules)}


@pytest.mark.real
def test_the_kql_rules_fire_on_a_planted_event(verdicts: dict[str, Verdict]) -> None:
    assert {name: verdict.remark for name, verdict in verdicts.items() if not verdict.fires} == SILENT
    assert len([verdict for verdict in verdicts.values() if verdict.fires]) >= 30


@pytest.mark.real
def test_no_kql_rule_fires_on_what_happens_every_day(field: Field) -> None:
    others = {plant.event.uuid for plant in field.others}
    assert len(others) == 3
    for rule, query in zip(field.rules, field.queries, strict=True):
        assert not others & field.ids(query), rule["name"]


@pytest.mark.real
def test_a_rule_that_names_one_event_type_fires_on_no_other(field: Field) -> None:
    types = {plant.event.uuid: plant.event.event_type for plants in field.plants for plant in plants}
    checked = 0
    for rule, query in zip(field.rules, field.queries, strict=True):
        if len(rule["event_types"]) == 1 and " or " not in rule["query"]:
            assert {types[uuid] for uuid in field.ids(query)} == set(rule["event_types"]), rule["name"]
            checked += 1
    assert checked > 15


@pytest.mark.parametrize("rule", rules("eql"), ids=lambda rule: rule["rule_id"])
def test_an_eql_rule_fires_on_planted_events_and_not_on_a_part_of_them(rule: dict[str, Any]) -> None:
    assert fires(rule) == Verdict(fires=True, remark=_foreign(rule))


def fires(rule: dict[str, Any]) -> Verdict:
    """Whether an EQL rule fires on its plants, and stays silent until the last one is there."""
    try:
        sequence = Rule(rule["query"])
    except eql.EqlError as error:
        return Verdict(fires=False, remark=f"not evaluated: {error}")
    planter = Planter(8, NOON)
    plants = [planter.plant(wanted) for wanted in sequence.steps()]
    documents = [_with(document(plant.event, DocumentOptions()), plant.added) for plant in plants]
    whole, part = sequence.fires(documents), sequence.fires(documents[:-1])
    return Verdict(fires=whole and not part, remark=_foreign(rule))


def _foreign(rule: dict[str, Any]) -> str:
    foreign = sorted({name for name in rule["fields"] if name.startswith((*OF_ALERTS, "host."))})
    return f"needs {', '.join(f'`{name}`' for name in foreign)} of other documents" if foreign else ""


def _with(made: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    return made | added


@pytest.mark.real
def test_every_column_that_an_esql_rule_names_is_mapped(prepared_elasticsearch: Elasticsearch) -> None:
    mapped = mapped_fields(prepared_elasticsearch)
    assert len(rules("esql")) == 10
    for rule in rules("esql"):
        named, faults = columns(rule["query"])
        assert faults == []
        assert len(named) > 5
        assert named >= {name for name in rule["fields"] if not name.startswith("Esql.")}, rule["name"]
        assert named <= mapped | {"@timestamp"}, rule["name"]


@pytest.mark.real
@shared_data.needs(shared_data.RULES.with_name("hunts.json"))
def test_every_column_that_a_hunt_names_is_mapped(prepared_elasticsearch: Elasticsearch) -> None:
    mapped = mapped_fields(prepared_elasticsearch)
    hunts = msgspec.json.decode(shared_data.RULES.with_name("hunts.json").read_bytes())
    assert len(hunts) == 11
    for hunt in hunts:
        for query in hunt["query"]:
            assert columns(query)[0] <= mapped, hunt["name"]


def mapped_fields(server: Elasticsearch) -> set[str]:
    """The fields of a data stream that no document is in, but one without any."""
    stream = Stream(server)
    line = '{"create": {}}\n{"@timestamp": "2026-01-01T00:00:00Z"}\n'
    answer = server.call("POST", f"/{stream.name}/_bulk?refresh=true", line)
    assert not answer["errors"]
    return set(server.call("GET", f"/{stream.name}/_field_caps?fields=*")["fields"])


@pytest.mark.real
def test_the_page_tells_what_was_found(verdicts: dict[str, Verdict]) -> None:
    found = {rule["name"]: fires(rule) for rule in rules("eql")} | verdicts
    found |= {
        rule["name"]: Verdict(fires=None, remark=f"its {len(columns(rule['query'])[0])} columns are mapped")
        for rule in rules("esql")
    }
    table = rules_page.table(found)
    if os.environ.get("FORWARDER_WRITE_DOCS"):
        rules_page.write(table)
    assert rules_page.written() == table, "run this test once with FORWARDER_WRITE_DOCS=1"
