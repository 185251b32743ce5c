"""`check` warns about a certificate that clients of a listener will refuse, and not about one that only a proxy sees."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from forwarder.config_check import warnings
from forwarder.settings import read

NOW = datetime.now(UTC)
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("leaf", "issuing", "root")}


def issued(subject: str, issuer: str, *names: str, days: int = 300) -> bytes:
    """Return a certificate in PEM, from the key of `subject`, signed with that of `issuer`."""

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    begin, end = NOW - timedelta(days=400), NOW + timedelta(days=days)
    builder = x509.CertificateBuilder(named(issuer), named(subject), KEYS[subject].public_key(), 7, begin, end)
    if names:
        listed = [x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    return builder.sign(KEYS[issuer], hashes.SHA256()).public_bytes(Encoding.PEM)


def found(folder: Path, chain: bytes, listen: str, uri: str, ops: dict[str, Any] | None = None) -> list[str]:
    """Return the warnings about the certificate of the receiver, or of the ops listener if `ops` has settings."""
    (folder / "cert.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(KEYS["leaf"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tls = {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    secret = "Qx9sup3rs3cr3tvalue1234567890"
    org = {"url": "https://acme.okta.com", "secrets": [secret], "api": {"token": "0" + secret}, "hook": {"uri": uri}}
    tree = {
        "orgs": {"acme": org},
        "receiver": {"listen": listen} if ops else {"listen": listen, "tls": tls},
        "ops": ops | {"tls": tls} if ops else {"listen": "127.0.0.1:9464"},
        "store": {"path": str(folder / "forwarder.db")},
        "sinks": {"archive": {"kind": "file", "path": str(folder / "okta.ndjson")}},
    }
    lines = warnings(read(tree))
    return [line.replace(str(folder), "HERE") for line in lines if ".tls." in line]


HOOK = "https://hooks.acme.com/okta/events"
ROOT = issued("root", "root")
ISSUING = issued("issuing", "root")


@pytest.mark.parametrize(
    ("names", "listen", "uri"),
    [
        (["fw.acme.com"], "0.0.0.0:443", HOOK),
        (["fw.acme.com"], "0.0.0.0:8443", HOOK),
        (["fw.siem.svc"], "0.0.0.0:443", HOOK),
        (["fw.siem.svc"], "0.0.0.0:8443", "https://hooks.acme.com:8443/okta/events"),
        (["*.acme.com"], "0.0.0.0:443", "https://a.hooks.acme.com/okta/events"),
        (["*.acme.com"], "0.0.0.0:443", "https://acme.com/okta/events"),
        (["8.8.8.8"], "0.0.0.0:443", "https://8.8.4.4/okta/events"),
    ],
)
def test_a_certificate_for_another_host_than_that_of_the_hook_is_a_warning(
    tmp_path: Path, names: list[str], listen: str, uri: str
) -> None:
    (line,) = found(tmp_path, issued("leaf", "issuing", *names) + ISSUING, listen, uri)
    assert line.startswith(f"receiver.tls.cert: the certificate in HERE/cert.pem is for {names[0]}, not for ")
    assert "the host of orgs.acme.hook.uri, so clients refuse it; get a certificate for " in line


@pytest.mark.parametrize(
    ("names", "listen", "uri"),
    [
        (["hooks.acme.com"], "0.0.0.0:443", HOOK),
        (["fw.siem.svc", "*.acme.com"], "0.0.0.0:443", HOOK),
        (["HOOKS.acme.com"], "0.0.0.0:443", "https://Hooks.Acme.com/okta/events"),
        (["xn--hken-loa.acme.com"], "0.0.0.0:443", "https://häken.acme.com/okta/events"),
        (["8.8.8.8"], "0.0.0.0:443", "https://8.8.8.8/okta/events"),
        (["fw.siem.svc"], "0.0.0.0:8443", HOOK),  # of a proxy that checks the certificate
        (["fw.acme.com"], "127.0.0.1:443", HOOK),  # only a proxy on this machine can connect
        ([], "0.0.0.0:8443", HOOK),  # its common name is `leaf`
    ],
)
def test_a_certificate_that_covers_the_host_or_that_only_a_proxy_sees_is_no_warning(
    tmp_path: Path, names: list[str], listen: str, uri: str
) -> None:
    assert found(tmp_path, issued("leaf", "issuing", *names) + ISSUING, listen, uri) == []


def test_the_certificate_of_the_ops_listener_covers_the_host_of_its_url(tmp_path: Path) -> None:
    chain = issued("leaf", "issuing", "fw.acme.com") + ISSUING
    ops = {"listen": "0.0.0.0:9464", "token": "Qx9sup3rs3cr3tvalue1234567890"}
    assert found(tmp_path, chain, "127.0.0.1:8080", HOOK, ops | {"url": "https://fw.acme.com:9464"}) == []
    (line,) = found(tmp_path, chain, "127.0.0.1:8080", HOOK, ops | {"url": "https://siem.acme.com:9464"})
    assert line.startswith("ops.tls.cert: the certificate in HERE/cert.pem is for fw.acme.com, not for siem.acme.com")


def test_a_chain_in_the_wrong_order_is_a_warning(tmp_path: Path) -> None:
    leaf = issued("leaf", "issuing", "hooks.acme.com")
    assert found(tmp_path, leaf + ISSUING + ROOT, "0.0.0.0:443", HOOK) == []
    (line,) = found(tmp_path, leaf + ROOT + ISSUING, "0.0.0.0:443", HOOK)
    assert line.startswith(
        "receiver.tls.cert: certificate 2 in HERE/cert.pem is not the issuer of the one before it (CN=issuing)"
    )


def test_an_expired_certificate_of_the_chain_is_a_warning(tmp_path: Path) -> None:
    chain = issued("leaf", "issuing", "hooks.acme.com") + issued("issuing", "root", days=-1)
    (line,) = found(tmp_path, chain, "0.0.0.0:443", HOOK)
    assert line.startswith("receiver.tls.cert: certificate 2 in HERE/cert.pem (CN=issuing) has expired on ")


def test_a_self_signed_certificate_that_okta_reaches_is_a_warning(tmp_path: Path) -> None:
    own = issued("leaf", "leaf", "hooks.acme.com")
    assert found(tmp_path, own, "0.0.0.0:8443", HOOK) == []
    (line,) = found(tmp_path, own, "0.0.0.0:443", HOOK)
    assert line.startswith("receiver.tls.cert: the certificate in HERE/cert.pem is self-signed, so Okta refuses it")
