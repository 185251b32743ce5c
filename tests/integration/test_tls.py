"""Which certificate files can be used, and that the configuration names those that cannot."""

import os
import socket
from pathlib import Path

import pytest

from forwarder.core.errors import SettingsError
from forwarder.settings import load
from forwarder.tls import file_problems
from tests.certificates import Certificate, make_certificate

CONFIG = """
orgs: {acme: {secrets: [{env: ACME_HOOK_SECRET}]}}
stroe: {}
sinks:
  siem: {kind: elasticsearch, hosts: [https://es:9200], ca_file: ABSENT}
  traces: {kind: otlp, endpoint: https://collector:4318, ca_file: EMPTY, cert_file: CERT, key_file: EMPTY}
"""


def test_files_that_fit_are_no_problem(certificate: Certificate) -> None:
    assert not list(file_problems(None))
    assert not list(file_problems(certificate.cert, certificate.cert, certificate.key))


def test_each_file_that_cannot_be_used_is_named(certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "other")
    locked = make_certificate(tmp_path, "locked", "-passout", "pass:secret")
    absent, fifo = tmp_path / "absent", tmp_path / "fifo"
    os.mkfifo(fifo)
    made_socket = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made_socket))
    for arguments, key, problem in (
        ((absent,), "ca_file", f"there is no file {absent}"),
        ((tmp_path,), "ca_file", f"{tmp_path} cannot be "),
        ((fifo,), "ca_file", f"{fifo} cannot be read: it is a FIFO, a device or a socket"),
        ((None, fifo, other.key), "cert_file", f"{fifo} cannot be read: it is a FIFO, a device or a socket"),
        ((None, other.cert, fifo), "key_file", f"{fifo} cannot be read: it is a FIFO, a device or a socket"),
        (
            (made_socket,),
            "ca_file",
            f"{made_socket} cannot be read: it is a FIFO, a device or a socket; copy its content",
        ),
        ((certificate.key,), "ca_file", f"{certificate.key} contains PRIVATE KEY, and no CERTIFICATE"),
        ((None, absent, other.key), "cert_file", f"there is no file {absent}"),
        ((None, other.cert, absent), "key_file", f"there is no file {absent}"),
        ((None, certificate.cert, other.key), "key_file", f"{other.key} does not belong to the certificate"),
        ((None, locked.cert, locked.key), "key_file", f"{locked.key} has a password"),
    ):
        ((named, text),) = file_problems(*arguments)
        assert (named, text.startswith(problem)) == (key, True), text


def test_the_configuration_names_them_beside_its_other_problems(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_HOOK_SECRET", "secret")
    (tmp_path / "EMPTY").touch()
    text = CONFIG.replace("CERT", str(certificate.cert))
    for name in ("ABSENT", "EMPTY"):
        text = text.replace(name, str(tmp_path / name))
    file = tmp_path / "forwarder.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "sinks.siem.ca_file",
        "sinks.traces.ca_file",
        "sinks.traces.key_file",
        "stroe",
    ]
    file.write_text(text.replace("stroe: {}", ""))
    load(file, secrets=False)  # an operator's shell may not be able to read the files of the forwarder
