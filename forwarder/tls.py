"""Checks the PEM files of a TLS client, and reads certificates."""

import ssl
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from forwarder.files import read_small


def file_problems(
    ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> Iterator[tuple[str, str]]:
    """Yield, for each file that OpenSSL cannot use, the key of its setting (such as `ca_file`) and the problem."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file and (problem := _problem(context, ca_file)):
        yield "ca_file", f"{problem}; give a PEM file with certificates"
    if not cert_file:
        return
    if problem := _problem(context, cert_file):
        yield "cert_file", f"{problem}; give a PEM file with a certificate"
    elif key_file and (problem := _problem(context, cert_file, key_file)):
        yield "key_file", f"{problem}; give the private key of `cert_file` as an unencrypted PEM file"


class Certificate(NamedTuple):
    """The certificate of a server or client, or the first CA certificate of a `ca_file`.

    Attributes:
        serial: the serial number, as `openssl x509 -serial` writes it.
        end: when the certificate expires.
    """

    serial: str
    end: datetime


def read(path: Path) -> Certificate | None:
    """Return the first certificate of the PEM file `path`; None if no certificate can be read."""
    x509 = import_module("cryptography.x509")  # imported only where TLS files are configured
    try:
        first = x509.load_pem_x509_certificates(read_small(path))[0]
    except (OSError, ValueError):
        return None
    digits = f"{first.serial_number:X}"
    return Certificate(digits.zfill(len(digits) + len(digits) % 2), first.not_valid_after_utc)


def expiry(path: Path) -> datetime | None:
    """Return when the first certificate in the PEM file `path` expires; None if it cannot be read."""
    certificate = read(path)
    return certificate.end if certificate else None


def _problem(context: ssl.SSLContext, certificates: Path, key: Path | None = None) -> str | None:
    try:
        read_small(key or certificates)  # OpenSSL would wait for the content of a FIFO
        if key:
            # Without a password, OpenSSL would ask for one on the terminal and hang there.
            context.load_cert_chain(certificates, key, password=lambda: "")
        else:
            context.load_verify_locations(certificates)
    except ssl.SSLError:  # its text is for programmers, as in "[X509] PEM lib (_ssl.c:4149)"
        return f"{key or certificates} cannot be used"
    except FileNotFoundError:
        return f"there is no file {key or certificates}"
    except OSError as error:
        return f"{key or certificates} cannot be read: {error.strerror}"
    return None
