"""Where our documents differ from those of Elastic's pipeline tests on purpose, each with its reason.

A difference is a rule that turns the expected document into the wanted one, so the comparison stays exact.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from forwarder.core.catalogue import EVENT_TYPES
from tests.shared_data import CATEGORIES

Fields = dict[str, Any]

NEWEST = "3.5-06a5bac9"
OLDER = ("2.13-noflat-0bd978f9", "2.12-noflat-706293f7")
ALL = (NEWEST, *OLDER)

SERVER_SIDE = ("source.geo.", "source.as.", "user_agent.")
"""Fields that Elasticsearch's ingest processors add; a test against a real server compares them."""


class Wanted(msgspec.Struct, frozen=True):
    """One difference.

    Attributes:
        folders: the fixtures that it concerns.
        reason: why we want it; docs/mapping.md lists it under the name of `amend`.
        amend: changes the expected fields, given the event, into what we want.
    """

    folders: tuple[str, ...]
    reason: str
    amend: Callable[[Fields, dict[str, Any]], None]


def _server_side(fields: Fields, event: dict[str, Any]) -> None:
    for name in [*fields]:
        if name.startswith(SERVER_SIDE) and name != "user_agent.original":
            del fields[name]


def _constants(fields: Fields, event: dict[str, Any]) -> None:
    fields |= {
        "data_stream.type": "logs",
        "data_stream.dataset": "okta.system",
        "data_stream.namespace": "default",
        "event.module": "okta",
        "event.dataset": "okta.system",
        "event.created": "2026-08-21T09:15:44.913Z",
    }


def _email(fields: Fields, event: dict[str, Any]) -> None:
    login = event["actor"]["alternateId"]
    if "@" in login[1:]:
        fields |= dict.fromkeys(("user.email", "client.user.email", "source.user.email"), login)


def _whole_login(fields: Fields, event: dict[str, Any]) -> None:
    login = event["actor"]["alternateId"]
    old = fields["user.name"]
    fields |= dict.fromkeys(("user.name", "client.user.name", "source.user.name"), login)
    if old != fields["user.full_name"]:
        fields["related.user"] -= {old}
    fields["related.user"] |= {login}


def _classes(fields: Fields, event: dict[str, Any]) -> None:
    table = json.loads(CATEGORIES.read_text(encoding="utf-8"))[event["eventType"]]
    for name in ("category", "type"):
        fields[f"event.{name}"] = fields.get(f"event.{name}", frozenset()) | set(table[name])


def _tags(fields: Fields, event: dict[str, Any]) -> None:
    fields["tags"] |= {"forwarded", "okta-system", *EVENT_TYPES[event["eventType"]]}


def _snake_case(fields: Fields, event: dict[str, Any]) -> None:
    debug = "okta.debug_context.debug_data."
    names = {
        "clientSecret": "client_secret",
        "grantType": "grant_type",
        "grantedScopes": "granted_scopes",
        "requestedScopes": "requested_scopes",
    }
    for old, new in names.items():
        if debug + old in fields:
            fields[debug + new] = fields.pop(debug + old)


WANTED = (
    Wanted(ALL, "the server's ingest pipeline adds them, from its own databases", _server_side),
    Wanted(
        ALL,
        "there is no agent and no package to set them, and rules filter on data_stream.dataset and event.dataset",
        _constants,
    ),
    Wanted(ALL, "the newest package fills user.email, and a rule reads it; these fixtures are older", _email),
    Wanted(OLDER, "the newest package takes the whole login, so users of two domains do not collide", _whole_login),
    Wanted(ALL, "the newest package has a category and a type for every event type; two rules need them", _classes),
    Wanted(ALL, "the newest package adds the catalogue's tags, and the agent the first two", _tags),
    Wanted(
        (OLDER[0],),
        "Elastic maps these names in snake_case only, but forgot to rename them in this mode: they were unmapped",
        _snake_case,
    ),
)


def _no_dot_at_the_end(fields: Fields, event: dict[str, Any]) -> None:
    if "user_agent.version" in fields:
        fields["user_agent.version"] = fields["user_agent.version"].removesuffix(".")


USER_AGENT = (
    Wanted(
        ALL,
        "Elasticsearch before 8.16.2 wrote a dot behind a version of two numbers; the fixtures are from that time",
        _no_dot_at_the_end,
    ),
)
"""Differences of `user_agent.*` after a real pipeline."""

NOT_IN_FIXTURES = {
    "as_number",
    "authenticator_context",
    "camel_case_device",
    "hook_chain",
    "interface",
    "odd_keys",
    "unreadable",
}
"""Differences of which no fixture has an example; other tests hold them."""

TYPES = {"okta.security_context.as.number": "long"}
"""Types that differ from Elastic's: numbers of autonomous systems have 32 bits without a sign, an integer has one."""
