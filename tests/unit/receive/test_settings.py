"""Settings of the receiver."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from forwarder.core.errors import SettingsError
from forwarder.http.settings import ListenerLimits, TlsSettings, tls_context
from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings, validate_endpoints


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = ReceiverSettings()
    assert (settings.listen, settings.max_body, settings.commit_timeout) == (
        "127.0.0.1:8080",
        10 * 2**20,
        2.0,
    )
    endpoint = HookEndpointSettings(secrets=["s"])
    assert (endpoint.path, endpoint.header, endpoint.challenge_needs_secret) == (
        "/okta/events",
        "Authorization",
        True,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"max_body": "10"},
        {"body_timeout": "0s"},
        {"max_connections": 0},
        {"max_header_bytes": "1B"},
        {"tls": {}},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReceiverSettings(**fields)


def test_orgs_that_nothing_tells_apart_are_a_fault_that_shows_no_secret() -> None:
    orgs = {
        "a": HookEndpointSettings(secrets=["first", "planted"]),
        "b": HookEndpointSettings(secrets=["planted"], header="authorization", path="/okta/events/"),
        "c": HookEndpointSettings(secrets=["planted"], header="X-Key"),
        "d": HookEndpointSettings(secrets=["planted"], path="/d"),
    }
    faults = list(validate_endpoints(orgs))
    assert len(faults) == 1
    assert faults[0].startswith("orgs.b.secrets[0]: orgs.a has the same")
    assert "planted" not in faults[0]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"path": "events"}, ("path",)),
        ({"path": "/{org}"}, ("path",)),
        ({"path": "/a b"}, ("path",)),
        ({"header": "A b"}, ("header",)),
        ({"header": ""}, ("header",)),
        ({"secrets": ["ok", "  "]}, ("secrets", 1)),
        ({"secrets": ["planted\nnext"]}, ("secrets", 0)),
    ],
)
def test_what_no_request_could_carry_is_a_fault(fields: dict[str, object], path: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        HookEndpointSettings(**{"secrets": ["s"]} | fields)
    assert caught.value.errors()[0]["loc"] == path
    assert "planted" not in str(caught.value)


def test_sound_orgs_have_no_fault() -> None:
    assert not list(
        validate_endpoints(
            {"a": HookEndpointSettings(secrets=["s", "t"]), "b": HookEndpointSettings(secrets=["u"])}
        )
    )


def certificate(folder: Path, name: str = "one", *options: str) -> TlsSettings:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-out", cert, "-keyout", key),
            *(options or ("-nodes",)),
        ],
        check=True,
        capture_output=True,
    )
    return TlsSettings(cert=cert, key=key)


def test_tls_files_that_cannot_be_used_are_a_clear_fault(tmp_path: Path) -> None:
    one, two = certificate(tmp_path), certificate(tmp_path, "two")
    locked = certificate(tmp_path, "locked", "-passout", "pass:secret")
    (tmp_path / "junk").write_text("junk")
    assert tls_context(one).minimum_version.name == "TLSv1_2"
    for cert, key, what in [
        (tmp_path / "absent", one.key, "receiver.tls.cert: there is no file"),
        (one.cert, tmp_path / "absent", "receiver.tls.key: there is no file"),
        (one.cert, two.key, "receiver.tls: "),
        (tmp_path / "junk", one.key, "receiver.tls: "),
        (locked.cert, locked.key, "receiver.tls: "),
        (tmp_path, one.key, "receiver.tls: "),
    ]:
        with pytest.raises(SettingsError) as caught:
            tls_context(TlsSettings(cert=cert, key=key))
        assert caught.value.problems[0].startswith(what)
        assert str(tmp_path) in caught.value.problems[0]


def test_limits_are_usable_on_their_own() -> None:
    assert ListenerLimits().max_connections == 1000
