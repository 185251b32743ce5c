"""Certificates for tests, made by the openssl command; it makes no expired one."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Certificate(NamedTuple):
    """Two PEM files."""

    cert: Path
    key: Path


def make_certificate(folder: Path, name: str = "test", *options: str) -> Certificate:
    """Make a self-signed certificate for 127.0.0.1.

    Args:
        folder: where the files go.
        name: of the files.
        options: of `openssl req`, in place of `-nodes`.
    """
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=test"
    files = ["-out", str(made.cert), "-keyout", str(made.key)]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names, *(options or ["-nodes"]), *files], check=True, capture_output=True)
    return made


def make_expired_certificate(folder: Path, name: str = "old") -> Certificate:
    """Make a self-signed certificate that ended yesterday."""
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    key, yesterday = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC) - timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), yesterday - timedelta(days=20), yesterday
    )
    made.cert.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made
