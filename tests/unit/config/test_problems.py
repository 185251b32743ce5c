"""Every problem is said in an operator's words, whatever the key and whatever stands there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from forwarder.config.problems import _section_of
from forwarder.core.errors import SettingsError
from forwarder.settings import Settings, read
from forwarder.sinks.registry import SETTINGS

ODD = [None, True, -1, 2.5, 10**30, float("nan"), " ", "1e3", "0s", "999999d", "0B", ["", 1], {"a": "b"}]  # fmt: skip
PROGRAMMERS = re.compile(
    r"[Ii]nput|[Ss]hould|valid |parse|instance|pattern|permitted|dictionary|tuple|boolean|integer|string |Settings|\bNone\b|pydantic"
)


def places(model: type[BaseModel], path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key that a configuration can have; a list is a 0, a name that is chosen is `x`."""
    for name, field in model.model_fields.items():
        place = (*path, field.alias or name)
        yield place
        if place == ("sinks",):
            for kind, section in SETTINGS.items():
                yield from places(section, (*place, kind))
        elif (section := _section_of(field)) and place.count("do") < 2:
            many = {"dict": ("x",), "tuple": (0,)}
            text = str(field.annotation)
            inner = next((part for word, part in many.items() if f"{word}[" in text), ())
            yield from places(section, (*place, *inner))


def tree_with(place: tuple[Any, ...], value: object) -> dict[str, Any]:
    inner: Any = value
    for depth in range(len(place) - 1, -1, -1):
        part = place[depth]
        inner = [inner] if part == 0 else {part: inner}
        if depth == 1 and place[0] == "sinks":
            inner = {part: {"kind": part} | inner[part]}
    found: dict[str, Any] = inner
    return found


PLACES = sorted(set(places(Settings)), key=str)


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_no_problem_is_said_in_a_programmers_words(place: tuple[Any, ...]) -> None:
    if place[0] == "sinks" and len(place) < 3:
        pytest.skip("a sink is known by its kind")
    for value in ODD:
        try:
            read(tree_with(place, value), files=False)
        except SettingsError as error:
            for line in error.problems:
                where, _, words = line.partition(": ")
                assert where, line
                assert words, line
                assert not PROGRAMMERS.search(words), (value, line)


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        (("log", "level"), "INFO", "log.level: write debug, info, warning or error"),
        (("receiver", "max_connections"), "1e3", "receiver.max_connections: write a whole number, as in 100"),
        (("receiver", "header_timeout"), "0s", "receiver.header_timeout: must be more than 0"),
        (("receiver", "max_body"), "1B", "receiver.max_body: must be at least 1KiB"),
        (("sinks", "elasticsearch", "retention"), "1s", "sinks.elasticsearch.retention: must be at least 1m"),
        (("sinks", "elasticsearch", "namespace"), False, "sinks.elasticsearch.namespace: write a string; put a number, a date, or a word like no or off in quotes"),
        (("sinks", "elasticsearch", "compress"), "gzip", "sinks.elasticsearch.compress: write true or false"),
        (("reconcile", "rate_share"), "30%", "reconcile.rate_share: write a number, as in 0.3"),
        (("reactions", "on", 0, "do", 0, "notify"), "https://soc.example", "reactions.on[0].do[0].notify.to: a name has letters"),
        (("ops", "proxy", "header"), "X Forwarded", "ops.proxy.header: is empty, or has a character that is not allowed; write one as in X-Forwarded-User"),
        (("sinks", "elasticsearch", "ilm_policy"), "a b", "sinks.elasticsearch.ilm_policy: is empty, or has a character that is not allowed; write one as in "),
        (("reactions", "ciba", "server"), "a b", "reactions.ciba.server: is empty, or has a character that is not allowed; write one as in default"),
        (("orgs", "acme", "api", "token"), "SSWS 00abc", "orgs.acme.api.token: contains a blank, a line break, or a character that is not ASCII; write only the token, without SSWS"),
        (("sinks", "elasticsearch"), {"hosts": ["http://es:9200"], "api_key": "ApiKey abc"}, "sinks.elasticsearch.api_key: has a character that no API key has, such as a space or a line break; write only the key, without ApiKey"),
        (("reactions", "set", "jwks"), "served", "reactions.set.jwks: write `serve`, or the URL where you publish the keys"),
        (("orgs", "acme", "hook"), {"uri": "https://h.example", "events": ["security", "user.sesion.start"]}, "orgs.acme.hook.events[1]: unknown event type user.sesion.start"),
        (("orgs", "acme", "hook"), {"uri": "https://h.example", "events": ["security", 1]}, "orgs.acme.hook.events[1]: write a string"),
        (("sinks", "file", "only"), ["user.session.start", "user.sesion.*"], "sinks.file.only[1]: no event type matches user.sesion.*"),
        (("sinks", "file", "except"), ["user.session.start", "x.y"], "sinks.file.except[1]: unknown event type x.y"),
        (("orgs", "acme", "egress"), ["192.0.2.7", "192.0.2"], "orgs.acme.egress[1]: '192.0.2' is not an address"),
        (("orgs", "acme", "zones"), {"z": {"ips": ["192.0.2.7", "192.0.2"]}}, "orgs.acme.zones.z.ips[1]: '192.0.2' is not an address"),
        (("orgs", "acme", "zones"), {"z": {"countries": ["IR", False]}}, "orgs.acme.zones.z.countries[1]: is False, because YAML"),
        (("orgs", "acme", "zones"), {"z": {"regions": ["UA-43", "UA"]}}, "orgs.acme.zones.z.regions[1]: 'UA' is not a region"),
        (("orgs", "acme", "zones"), {"z": {"asns": [64496, "x"]}}, "orgs.acme.zones.z.asns[1]: 'x' is not the number"),
        (("orgs", "acme", "zones"), {"z": {"services": ["ALL_ANONYMIZERS", "tor"]}}, "orgs.acme.zones.z.services[1]: 'tor' is not a category"),
        (("sinks", "otlp", "headers"), {"a b": "x"}, "sinks.otlp.headers.a…: is not the name of a header"),
        (("sinks", "otlp", "headers"), {"Host": "x"}, "sinks.otlp.headers.Host: cannot be set here"),
        (("sinks", "otlp", "headers"), {"x-key": "é"}, "sinks.otlp.headers.x-key: may have only printable ASCII"),
        (("ops", "proxy", "from"), ["192.0.2.1:80"], "ops.proxy.from[0]: is not an address or a network"),
    ],
    ids=str,
)  # fmt: skip
def test_a_problem_says_what_to_write(place: tuple[Any, ...], value: object, line: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(tree_with(place, value), files=False)
    assert [problem for problem in error.value.problems if problem.startswith(line)], error.value.problems


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "hint"),
    [
        (("orgs", "acme", "hook", "secrets"), "it belongs to `orgs.NAME`"),
        (("orgs", "acme", "token"), "it belongs to `orgs.NAME.api`"),
        (("orgs", "acme", "secret"), "did you mean `secrets`?"),
        (("sinks", "otlp", "timeout"), "it belongs to `sinks.NAME.delivery`"),
        (("sinks", "elasticsearch", "colour"), "known here: api_key"),
        (("sinks", "elasticsearch", "index"), "did you mean `namespace`?"),
        (("sinks", "elasticsearch", "endpoint"), "did you mean `hosts`?"),
        (("sinks", "elasticsearch", "cloud_id"), "did you mean `hosts`?"),
        (("sinks", "elasticsearch", "auth"), "did you mean `basic_auth`?"),
        (("sinks", "elasticsearch", "protocol"), "it belongs to a sink of kind otlp"),
        (("sinks", "file", "compress"), "it belongs to a sink of kind elasticsearch"),
        (("sinks", "file", "ca_file"), "it belongs to a sink of kind elasticsearch or otlp"),
        (("sinks", "file", "exclude"), "did you mean `except`?"),
        (("orgs", "acme", "domain"), "did you mean `url`?"),
        (("orgs", "acme", "hook", "url"), "did you mean `uri`?"),
        (("receiver", "port"), "did you mean `listen`?"),
        (("reconcile", "interval"), "did you mean `poll`?"),
        (("outputs",), "did you mean `sinks`?"),
        (("data_dir",), "did you mean `store`?"),
        (("receiver", "max-body"), "did you mean `max_body`?"),
        (("receiver", "maxBody"), "did you mean `max_body`?"),
        (("receiver", "tls", "cert_file"), "did you mean `cert`?"),
        (("reactions", "ops"), "it belongs to the top level"),
        (("webhooks",), "it belongs to `reactions`"),
        (("secrets",), "it belongs to `orgs.NAME`; NAME is a name of your choice"),
        (("kind",), "it belongs to `sinks.NAME`; NAME is a name of your choice"),
        (("path",), "it belongs to `orgs.NAME`, `sinks.NAME` or `store`; NAME is a name of your choice"),
        (("Ops",), "did you mean `ops`?"),
        (("OPS",), "did you mean `ops`?"),
        (("logging",), "did you mean `log`?"),
    ],
    ids=str,
)
def test_an_unknown_key_says_which_was_meant_or_where_it_belongs(place: tuple[Any, ...], hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        read({"ops": {"listen": "127.0.0.1:9464"}} | tree_with(place, "x"), files=False)
    path = ".".join(place)
    assert [line for line in error.value.problems if line.startswith(f"{path}: unknown key; {hint}")], (
        error.value.problems
    )


@pytest.mark.parametrize(
    ("tree", "keys"),
    [
        ({"orgs": {"url": "https://acme.okta.com", "secrets": ["s"]}}, ["orgs.secrets", "orgs.url"]),
        ({"orgs": {"api": {"token": "t", "token_id": "i"}}}, ["orgs.api"]),
        ({"orgs": {"zones": {"bad": {"ips": ["192.0.2.7"]}}}}, ["orgs.zones"]),
        ({"orgs": {"acme": {"secrets": ["s"], "zones": {"ips": ["192.0.2.7"]}}}}, ["orgs.acme.zones.ips"]),
        ({"sinks": {"kind": "file", "path": "/tmp/x"}}, ["sinks.kind", "sinks.path"]),
        ({"sinks": {"hosts": ["http://es:9200"], "delivery": {"timeout": "5s"}}}, ["sinks.delivery", "sinks.hosts"]),
        ({"reactions": {"webhooks": {"secret": "s"}}}, ["reactions.webhooks.secret"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_key_that_lacks_the_name_above_it_is_told_so_once(tree: dict[str, Any], keys: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        read(tree, files=False)
    lines = [line for line in error.value.problems if "write a name of your choice below" in line]
    assert [line.partition(": ")[0] for line in lines] == keys, error.value.problems


def test_an_org_and_a_sink_may_be_named_like_a_key() -> None:
    sink = {"kind": "file", "path": "/tmp/x.ndjson"}
    settings = read({"orgs": {"api": {"secrets": ["s"]}}, "sinks": {"path": sink}}, files=False)
    assert (list(settings.orgs), list(settings.sinks)) == (["api"], ["path"])
