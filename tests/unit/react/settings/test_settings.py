"""The section `reactions`: the accepted values, and the problems with path and hint."""

import base64
from pathlib import Path
from typing import Any

import pytest

from forwarder.core.errors import SettingsError
from forwarder.react.settings.receivers import webhook_keys
from forwarder.react.settings.section import ReactionsSettings
from forwarder.settings import Settings, read
from tests.fakes.keys import pem, public_pem, rsa_key


def settings_with(reactions: dict[str, Any], **org: Any) -> Settings:
    return read(
        {
            "orgs": {"acme": {"secrets": ["s"], "url": "https://acme.okta.com"} | org},
            "sinks": {"archive": {"kind": "file", "path": "/tmp/x.ndjson"}},
            "reactions": reactions,
        }
    )


def problems_of(reactions: dict[str, Any], **org: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings_with(reactions, **org)
    return caught.value.problems


def signed(**changes: Any) -> dict[str, Any]:
    return {"issuer": "https://fw.example", "key": pem(rsa_key())} | changes


@pytest.mark.long
def test_the_documented_receivers_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOC_WEBHOOK_SECRET", "planted-soc-secret")
    (tmp_path / "set.pem").write_text(pem(rsa_key()))
    reactions = settings_with(
        {
            "webhooks": {"soc": {"url": "https://soc.example/okta", "secret": {"env": "SOC_WEBHOOK_SECRET"}}},
            "receivers": {"okta": {"org": "acme"}, "risk": {"url": "https://risk.example/events", "audience": "risk"}},
            "set": {"issuer": "https://fw.example", "key": {"file": str(tmp_path / "set.pem")}, "jwks": "serve"},
        }
    ).reactions
    assert reactions.set is not None
    assert reactions.set.jwks_url == "https://fw.example/.well-known/jwks.json"
    assert reactions.public_documents == {"/.well-known/jwks.json": reactions.set.key_set()}
    assert "planted" not in repr(reactions)
    assert "PRIVATE" not in repr(reactions)


@pytest.mark.long
def test_without_the_section_nothing_is_sent_and_no_key_is_published() -> None:
    assert ReactionsSettings().public_documents == {}
    assert settings_with({"set": signed()}).reactions.public_documents == {}


@pytest.mark.long
@pytest.mark.parametrize(
    ("reactions", "problem"),
    [
        ({"webhooks": {"soc": {"url": "http://soc.example", "secret": "s"}}}, "reactions.webhooks.soc.url: must begin with https://"),
        ({"webhooks": {"soc": {"url": "https://u:p@soc.example", "secret": "s"}}}, "reactions.webhooks.soc.url: must not contain credentials: URLs are logged"),
        ({"webhooks": {"soc": {"url": {"env": "NOT_SET_HERE"}, "secret": "s"}}}, "reactions.webhooks.soc.url: the environment variable NOT_SET_HERE is not set"),
        ({"webhooks": {"soc": {"url": {"env": "HOME"}, "secret": "s"}}}, "reactions.webhooks.soc.url: is not a URL of a server"),
        ({"webhooks": {"soc": {"url": 7, "secret": "s"}}}, "reactions.webhooks.soc.url: write a secret as a string, {env: NAME} or {file: path}"),
        ({"webhooks": {"soc": {"url": "https://soc.example/?sig=x", "secret": "s"}}}, ("reactions.webhooks.soc.url: the URL may have only a scheme, a host, a port and a path; remove all "
            "other parts")),
        ({"webhooks": {"soc": {"url": "https://soc.example"}}}, "reactions.webhooks.soc.secret: is required"),
        ({"webhooks": {"soc": {"url": "https://soc.example", "secret": "whsec_%%"}}}, "reactions.webhooks.soc.secret: has no base64 after `whsec_`; make one with"),
        ({"webhooks": {"soc": {"url": "https://soc.example", "secret": "s", "secert": "s"}}}, "reactions.webhooks.soc.secert: unknown key; did you mean `secret`?"),
        ({"webhooks": {"soc": {"url": "https://soc.example", "secret": "s", "ca_file": "/none.pem"}}}, "reactions.webhooks.soc.ca_file: there is no file /none.pem"),
        ({"webhooks": {"so c": {"url": "https://soc.example", "secret": "s"}}}, "reactions.webhooks.so c: a name has letters, digits"),
        ({"receivers": {"okta": {"org": "acme"}}}, "reactions.set: is required for `receivers`"),
        ({"receivers": {"okta": {"org": "other"}}, "set": signed()}, "reactions.receivers.okta.org: unknown org other"),
        ({"receivers": {"okta": {}}, "set": signed()}, "reactions.receivers.okta: set `org` for one of `orgs`, or `url` with `audience`"),
        ({"receivers": {"okta": {"org": "acme", "url": "https://x.example", "audience": "x"}}, "set": signed()}, "reactions.receivers.okta: set `org`"),
        ({"receivers": {"okta": {"org": "acme", "audience": "x"}}, "set": signed()}, "reactions.receivers.okta: `audience`, `authorization` and `ca_file` are for a `url`"),
        ({"receivers": {"risk": {"url": "https://x.example"}}, "set": signed()}, "reactions.receivers.risk.audience: is required with `url`"),
        ({"receivers": {"risk": {"url": "http://x.example", "audience": "x"}}, "set": signed()}, "reactions.receivers.risk.url: must begin with https://"),
        ({"receivers": {"risk": {"url": "https://x.example", "audience": "x", "authorization": "Bearer a\nb"}}, "set": signed()}, "reactions.receivers.risk.authorization: has a line break"),
        ({"set": signed(issuer="http://fw.example")}, "reactions.set.issuer: must begin with https://"),
        ({"set": signed(issuer="https://fw.example/" + "x" * 700)}, "reactions.set.issuer: is longer than 700 characters, the most"),
        ({"set": signed(key=public_pem(rsa_key()))}, "reactions.set.key: is a public key"),
        ({"set": signed(key=pem(rsa_key("weak", 1024)))}, "reactions.set.key: the key has 1024 bits"),
        ({"set": signed(previous_key=pem(rsa_key("weak", 1024)))}, "reactions.set.previous_key: the key has 1024 bits"),
        ({"set": signed(previous_key=pem(rsa_key()))}, "reactions.set.previous_key: is the same key as `key`"),
        ({"set": {"issuer": "https://fw.example"}}, "reactions.set.key: is required"),
        ({"set": signed(key={"file": "/none/set.pem"})}, "reactions.set.key: the file /none/set.pem cannot be read"),
        ({"webhook": {}}, "reactions.webhook: unknown key; did you mean `webhooks`?"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_path_and_a_hint(reactions: dict[str, Any], problem: str) -> None:
    (line,) = problems_of(reactions)
    assert line.startswith(problem)
    assert "BEGIN" not in line


def test_all_mistakes_are_refused_together() -> None:
    problems = problems_of(
        {"webhooks": {"soc": {"url": "http://soc.example", "secret": "s"}}, "set": signed(key="no key")}
    )
    assert [line.partition(":")[0] for line in problems] == ["reactions.set.key", "reactions.webhooks.soc.url"]


def test_a_path_other_than_serve_must_be_a_url() -> None:
    assert all(line.startswith("reactions.set.jwks") for line in problems_of({"set": signed(jwks="server")}))


def test_a_url_that_is_a_secret_is_watched_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://soc.example/hooks/planted-path?sig=planted-query\n")
    settings = settings_with(
        {"webhooks": {"soc": {"url": {"file": str(tmp_path / "url")}, "secret": "planted-soc-secret"}}}
    )
    assert tmp_path / "url" in settings.files()
    assert "planted" not in f"{settings!r} {settings.model_dump(mode='json')}"
    assert settings.reactions.webhooks["soc"].address[1] == "https://soc.example/***"


def test_plain_http_works_only_to_a_loopback_address() -> None:
    settings_with({"webhooks": {"soc": {"url": "http://127.0.0.1:9000/x", "secret": "s"}}})


def test_an_org_without_a_url_cannot_receive_risk_events() -> None:
    reactions = {"receivers": {"okta": {"org": "acme"}}, "set": signed()}
    (line,) = problems_of(reactions, url=None)
    assert line.startswith("reactions.receivers.okta.org: orgs.acme.url is required")


def test_no_org_posts_to_the_path_of_the_keys() -> None:
    (line,) = problems_of({"set": signed(jwks="serve")}, path="/.well-known/jwks.json")
    assert line.startswith("orgs.acme.path: `reactions.set.jwks: serve` needs this path")
    settings_with({"set": signed()}, path="/.well-known/jwks.json")


def test_the_keys_are_published_elsewhere_if_a_url_says_so() -> None:
    reactions = settings_with({"set": signed(jwks="https://cdn.example/keys.json")}).reactions
    assert reactions.set is not None
    assert reactions.set.jwks_url == "https://cdn.example/keys.json"
    assert reactions.public_documents == {}


@pytest.mark.long
def test_during_a_rotation_two_keys_are_published() -> None:
    reactions = settings_with({"set": signed(previous_key=public_pem(rsa_key("other")))}).reactions
    assert reactions.set is not None
    assert reactions.set.key_set().count(b'"kid"') == 2


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("whsec_" + base64.b64encode(b"a" * 24).decode(), [b"a" * 24]),
        ("whsec_YWFhYQ", [b"aaaa"]),
        ("no base64!", [b"no base64!"]),
        ("YWFhYQ==", [b"YWFhYQ==", b"aaaa"]),
    ],
)
def test_a_secret_has_a_key_for_each_way_to_read_it(secret: str, expected: list[bytes]) -> None:
    reactions = settings_with({"webhooks": {"soc": {"url": "https://soc.example", "secret": secret}}}).reactions
    assert list(webhook_keys(reactions.webhooks["soc"].secret)) == expected
