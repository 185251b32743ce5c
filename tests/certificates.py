"""Certificates for tests, made by the openssl command."""

import subprocess
from pathlib import Path
from typing import NamedTuple


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
    subprocess.run(
        [*command.split(), *names, *(options or ["-nodes"]), *files], check=True, capture_output=True
    )
    return made
