"""The settings of the guards, made from the configuration."""

from ipaddress import ip_network

from forwarder.core.action import EffectKind
from forwarder.react.settings.guards import Limit
from forwarder.reaction_runner.guard_settings import guard_settings
from forwarder.settings import read
from tests.fakes.actions import action
from tests.unit.react.guard_scene import by_rule

TREE = {
    "orgs": {
        "acme": {
            "url": "https://acme.okta.com",
            "api": {"token": "planted-token", "token_id": "00T1"},
            "egress": ["203.0.113.7"],
        },
        "beta": {"secrets": ["s"], "path": "/beta", "egress": ["2001:db8::/32"]},
    },
    "sinks": {"archive": {"kind": "file", "path": "/tmp/x.ndjson"}},
    "reactions": {
        "mode": "enforce",
        "protect": {"users": ["breakglass@corp.example"], "groups": ["Break-glass"], "ips": ["198.51.100.0/24"]},
        "limits": {"per_user": "3/30m"},
        "fresh": "5m",
        "confirm": ["prompt"],
    },
}


def test_the_settings_of_the_guards_are_those_of_the_configuration() -> None:
    found = guard_settings(read(TREE), by_rule({"push_fatigue": "shadow"}))
    assert found.mode == "enforce"
    assert found.ceiling(action()) == "shadow"
    assert found.protect.users == ("breakglass@corp.example",)
    assert found.protect.groups == ("Break-glass",)
    assert found.protect.admins
    assert found.protect.ips == (ip_network("198.51.100.0/24"),)
    assert found.limits == {
        "per_user": Limit(3, 1800),
        "per_rule": Limit(20, 3600),
        "mending": Limit(60, 3600),
        "timed": Limit(10, 3600),
        "prompt": Limit(20, 86_400),
        "prompt_per_user": Limit(1, 86_400),
    }
    assert found.prompts_at_once == 5
    assert (found.fresh, found.approve_within) == (300, 900)
    assert found.confirm == frozenset({EffectKind.PROMPT})
    assert found.own == {"acme": {"00T1"}, "beta": set()}
    assert found.own_ips == (ip_network("203.0.113.7/32"), ip_network("2001:db8::/32"))
