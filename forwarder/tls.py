"""Makes the TLS context of a client, checks PEM files, and reads certificates."""

import ssl
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from forwarder.safe_files import read_small

_TOO_WEAK = "has a certificate with a key or a signature that OpenSSL refuses as too weak"


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
        if problem == _TOO_WEAK:
            yield "cert_file", f"{cert_file} {_TOO_WEAK}; make one with RSA of 2048 bits, or with ECDSA"
            return
        yield "key_file", f"{problem}; give the private key of `cert_file` as an unencrypted PEM file"


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the TLS context of a client that trusts the CA certificates in `ca_file`; without a file, those of the system.

    Raises:
        OSError: the file cannot be used. An ssl.SSLError is an OSError too.
    """
    if ca_file:
        read_small(ca_file)  # OpenSSL would wait for the content of a FIFO
    return ssl.create_default_context(cafile=ca_file)


class Certificate(NamedTuple):
    """The certificate of a server or client, or one of the CA certificates of a `ca_file`.

    Attributes:
        serial: the serial number, as `openssl x509 -serial` writes it.
        begin: the time from which the certificate is valid.
        end: the time when the certificate expires.
    """

    serial: str
    begin: datetime
    end: datetime


def read(path: Path, *, authorities: bool = False) -> Certificate | None:
    """Return the first certificate of the PEM file `path`; None if no certificate can be read.

    If `authorities` is True, the file has CA certificates. Then return the one that expires last, because the others may
    be old ones.
    """
    x509 = import_module("cryptography.x509")  # imported only where TLS files are configured
    try:
        found = x509.load_pem_x509_certificates(read_small(path))
        first = max(found, key=lambda each: each.not_valid_after_utc) if authorities else found[0]
    except (OSError, ValueError):
        return None
    digits = f"{first.serial_number:X}"
    serial = digits.zfill(len(digits) + len(digits) % 2)
    return Certificate(serial, first.not_valid_before_utc, first.not_valid_after_utc)


def _problem(context: ssl.SSLContext, certificates: Path, key: Path | None = None) -> str | None:
    try:
        read_small(key or certificates)  # OpenSSL would wait for the content of a FIFO
        if key:
            # Without a password, OpenSSL would ask for one on the terminal and hang there.
            context.load_cert_chain(certificates, key, password=lambda: "")
        else:
            context.load_verify_locations(certificates)
    except ssl.SSLError as error:  # its text is for programmers, as in "[X509] PEM lib (_ssl.c:4149)"
        if key and str(error.reason).endswith(("_TOO_SMALL", "_TOO_WEAK")):
            return _TOO_WEAK
        return f"{key or certificates} cannot be used"
    except FileNotFoundError:
        return f"there is no file {key or certificates}"
    except OSError as error:
        return f"{key or certificates} cannot be read: {error.strerror}"
    return None
