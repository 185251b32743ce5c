from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from forwarder.core.errors import SettingsError
from forwarder.okta.settings import HookSettings
from forwarder.settings import read

URI = "https://hooks.example.com/okta/events"


def test_a_hook_needs_only_a_uri() -> None:
    hook = HookSettings(uri=URI)
    assert (hook.name, hook.events, hook.filters, hook.auto_verify) == ("forwarder", "all-eligible", None, False)
    assert hook.check_interval == 60


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        "https://hooks.example.com:8443/",
        "http://127.0.0.1:8080/okta/events",
        "http://[::1]:8080/x",
        "http://localhost:8080/x",
    ],
)
def test_https_and_plain_http_to_a_loopback_address_are_accepted(uri: str) -> None:
    assert HookSettings(uri=uri).uri == uri


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uri": "http://hooks.example.com/x"}, "must begin with https://"),
        ({"uri": "http://10.0.0.1/x"}, "must begin with https://"),
        ({"uri": "ftp://127.0.0.1/x"}, "must begin with https://"),
        ({"uri": "hooks.example.com/x"}, "is not an address"),
        ({"uri": "https:///x"}, "is not an address"),
        ({"uri": "https://hooks.example.com/a b"}, "has a blank"),
        ({"uri": "https://hooks.example.com:99999/x"}, "is not a URL"),
        ({"uri": "https://user@hooks.example.com/x"}, "must not contain a user"),
        ({"uri": "https://hooks.example.com/x#y"}, "must not contain a user"),
        ({"events": "everything"}, "must be one of all-eligible, security, rules, or a list"),
        ({"events": []}, "at least one event type"),
        ({"events": {"a": 1}}, "write a list"),
        ({"events": [1]}, "should be a valid string"),
        ({"rules": ["some.toml"]}, "`events` does not list it"),
        ({"filters": {"user.session.start": " "}}, "is blank"),
        ({"name": "  "}, "at least 1 character"),
        ({"check_interval": "0s"}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_invalid_hook_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as error:
        HookSettings(**{"uri": URI} | changes)
    assert error.value.error_count() == 1


def test_the_preset_rules_has_rule_files() -> None:
    hook = HookSettings(uri=URI, events=["rules", "user.session.start"], rules=["rules/okta"])
    assert [str(path) for path in hook.rules] == ["rules/okta"]


def test_empty_filters_differ_from_missing_filters() -> None:
    assert HookSettings(uri=URI, filters={}).filters == {}
    assert HookSettings(uri=URI).filters is None


@pytest.mark.long
def test_to_watch_the_hook_a_service_app_needs_only_scopes_to_read() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    scopes = ["okta.eventHooks.read", "okta.logs.read"]
    acme: dict[str, Any] = {
        "url": "https://acme.okta.com",
        "secrets": ["planted-secret"],
        "api": {"client_id": "0oa1", "private_key": pem, "scopes": scopes},
        "hook": {"uri": URI},
    }
    sinks = {"archive": {"kind": "file", "path": "x.ndjson"}}
    assert read({"orgs": {"acme": acme}, "sinks": sinks}).orgs["acme"].api
    acme["hook"]["auto_verify"] = True
    with pytest.raises(SettingsError) as caught:
        read({"orgs": {"acme": acme}, "sinks": sinks})
    (problem,) = caught.value.problems
    assert problem.startswith("orgs.acme.api.scopes: lacks okta.eventHooks.manage, which `hook` needs")
