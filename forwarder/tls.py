"""Makes the TLS context of a client, checks PEM files, and reads certificates."""

import errno
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from forwarder.pem import wrong_kind
from forwarder.safe_files import cannot_read, read_small

_TOO_WEAK = "has a certificate with a key or a signature that OpenSSL refuses as too weak"


def file_problems(
    ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) for each file that OpenSSL cannot use. The key is the key of the file's setting, as in
    `ca_file`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file and (problem := _problem(context, ca_file)):
        yield "ca_file", problem
    if not cert_file:
        return
    if problem := _problem(context, cert_file):
        yield "cert_file", problem
    elif key_file and (problem := _problem(context, cert_file, key_file)):
        if problem == _TOO_WEAK:
            yield "cert_file", f"{cert_file} {_TOO_WEAK}; make one with RSA of 2048 bits, or with ECDSA"
            return
        if _key_fits_later(cert_file, key_file):
            yield (
                "cert_file",
                (
                    f"{cert_file} begins with another certificate than that of `key_file`; write the certificate first, and then "
                    "the chain to its issuer"
                ),
            )
            return
        yield "key_file", problem


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the TLS context of a client. It trusts the CA certificates in `ca_file`, or the system's CA certificates
    if `ca_file` is None.

    Raises:
        OSError: the file cannot be used. The field `strerror` says why, and what to do.
    """
    if ca_file and (problem := _problem(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)):
        raise OSError(errno.EINVAL, problem)
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

    If `authorities` is True, the file has CA certificates. Then return the certificate that expires last, because the
    others may be outdated.
    """
    found = _certificates(path)
    if not found:
        return None
    first = max(found, key=lambda each: each.not_valid_after_utc) if authorities else found[0]
    digits = f"{first.serial_number:X}"
    serial = digits.zfill(len(digits) + len(digits) % 2)
    return Certificate(serial, first.not_valid_before_utc, first.not_valid_after_utc)


def missing_chain(path: Path) -> str:
    """Return the issuer of the certificate in the PEM file `path`, if the file does not contain the issuer's
    certificate.

    Return an empty string if the file has several certificates or a self-signed one, or cannot be read.
    """
    found = _certificates(path)
    if len(found) != 1 or found[0].issuer == found[0].subject:
        return ""
    return _name(found[0].issuer)


def is_self_signed(path: Path) -> bool:
    """Whether the first certificate of the PEM file `path` is its own issuer."""
    return any(each.issuer == each.subject for each in _certificates(path)[:1])


def chain_problems(path: Path, now: datetime) -> Iterator[str]:
    """Yield what is wrong with the certificates that follow the first one in the PEM file `path`, and what to do."""
    found = _certificates(path)
    for number, (issued, issuer) in enumerate(pairwise(found), start=2):
        if issued.issuer != issuer.subject:
            yield (
                f"certificate {number} in {path} is not the issuer of the one before it ({_name(issued.issuer)}), so "
                "some clients refuse the connection; write the chain in order: the certificate, its issuer, the "
                "issuer of that"
            )
            return
    for number, each in enumerate(found[1:], start=2):
        if each.not_valid_after_utc <= now:
            yield (
                f"certificate {number} in {path} ({_name(each.subject)}) has expired on {each.not_valid_after_utc:%Y-%m-%d}, "
                "so clients may refuse the connection; append the current certificate of this issuer in its place"
            )


def names(path: Path) -> list[str]:
    """Return the host names and IP addresses for which the first certificate of the PEM file `path` is valid.

    A certificate without such names is valid for its common name. The list is empty if no certificate can be read.
    """
    x509 = import_module("cryptography.x509")
    for each in _certificates(path)[:1]:
        try:
            listed = each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = [*listed.get_values_for_type(x509.DNSName), *listed.get_values_for_type(x509.IPAddress)]
        except (x509.ExtensionNotFound, ValueError):
            found = [each.value for each in each.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        return [str(name).lower() for name in found]
    return []


def covers(name: str, host: str) -> bool:
    """Whether a certificate for `name`, such as `*.example.com`, is valid for `host`. Both are in lower case."""
    with suppress(ValueError):
        return ip_address(host) == ip_address(name)
    with suppress(UnicodeError):
        host = host.encode("idna").decode()
    host = host.removesuffix(".")
    return host == name or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def _name(name: Any) -> str:
    return str(name.rfc4514_string())


def _certificates(path: Path) -> list[Any]:
    """Return the certificates of the PEM file `path`; an empty list if they cannot be read."""
    x509 = import_module("cryptography.x509")  # imported only where TLS files are configured
    try:
        return list(x509.load_pem_x509_certificates(read_small(path)))
    except (OSError, ValueError):
        return []


def _key_fits_later(cert_file: Path, key_file: Path) -> bool:
    """Whether the key in `key_file` belongs to a certificate in `cert_file` that is not the first one."""
    pem = import_module("cryptography.hazmat.primitives.serialization")
    try:
        public = pem.load_pem_private_key(read_small(key_file), None).public_key()
    except (OSError, ValueError, TypeError):  # TypeError: the key has a password
        return False
    return any(each.public_key() == public for each in _certificates(cert_file)[1:])


def _problem(context: ssl.SSLContext, certificates: Path, key: Path | None = None) -> str | None:
    """Return why OpenSSL cannot use `certificates`, or `key` if it is given, and what to do; None if it can."""
    path = key or certificates
    try:
        content = read_small(path)  # OpenSSL would wait for the content of a FIFO
        if key:
            # Without a password, OpenSSL would ask for one on the terminal and hang there.
            context.load_cert_chain(certificates, key, password=lambda: "")
        else:
            context.load_verify_locations(certificates)
    except ssl.SSLError as error:  # its text is for programmers, as in "[X509] PEM lib (_ssl.c:4149)"
        if key and str(error.reason).endswith(("_TOO_SMALL", "_TOO_WEAK")):
            return _TOO_WEAK
        if wrong := wrong_kind(content.decode("ascii", "replace"), "PRIVATE KEY" if key else "CERTIFICATE"):
            return f"{path} {wrong}"
        if key:
            return f"{path} does not belong to the certificate, or is damaged; write the private key of `cert_file`"
        return f"{path} cannot be used, because a certificate in it is damaged; copy the file once more"
    except FileNotFoundError:
        return f"there is no file {path}; create it, or correct the path"
    except OSError as error:
        return f"{path} cannot be read: {cannot_read(error)}"
    return None
