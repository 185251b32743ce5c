"""Makes a bundle for a bug report: what `doctor` saw, and the state of the forwarder. It has no event and no
secret."""

import contextlib
import io
import os
import platform
import sys
import tarfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

import httpx
import msgspec

from forwarder.core.errors import ForwarderError
from forwarder.core.redaction import redact
from forwarder.doctor.check import CheckRow
from forwarder.doctor.context import Context
from forwarder.doctor.machine import ops_url
from forwarder.doctor.network import request

_ABOUT = """A support bundle of okta-forwarder, written by `forwarder doctor --bundle`.

It has host names, names of orgs and sinks, event types, counts, and error texts of servers. It has no event and no secret.
Please read it before you send it.

{files}
"""

_WHAT = {
    "doctor.json": "what each check saw",
    "config.json": "the configuration in force, with defaults; every secret is ***",
    "versions.txt": "the versions of Python, the system and every library",
    "ledger.json": "counts of events, and for each sink the counts by their state",
    "status.json": "what the running forwarder reports about itself",
    "metrics.txt": "the metrics of the running forwarder",
}


async def collect(context: Context, rows: Sequence[CheckRow]) -> dict[str, str]:
    """Return the text of each file of the bundle, by name, with secrets redacted.

    Files about the running forwarder are left out if none runs, and the ledger if the store was not read.
    """
    files = {
        "doctor.json": _json([msgspec.to_builtins(row) for row in rows]),
        "config.json": _json(context.settings.model_dump(mode="json")),
        "versions.txt": _versions(),
    }
    if context.ledger is not None:
        files["ledger.json"] = _json(context.ledger.as_json())
    if context.status is not None:
        files["status.json"] = _json(dict(context.status))
        url = f"{ops_url(context.settings)}/metrics"
        with contextlib.suppress(httpx.HTTPError, OSError):
            answer = await request("GET", url, timeout=context.timeout, limit=4 << 20, verify=False)
            files["metrics.txt"] = answer.body.decode(errors="replace")
    listed = "\n".join(f"{name}: {_WHAT[name]}" for name in files)
    files = {"README.txt": _ABOUT.format(files=listed), **files}
    return {name: redact(text) for name, text in files.items()}


def write(path: Path, files: Mapping[str, str]) -> None:
    """Write the bundle to a new file that only this user can read.

    Raises:
        ForwarderError: `path` exists, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ForwarderError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise ForwarderError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder that exists and that you may write"
        ) from error
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in files.items():
            content = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"forwarder-bundle/{name}")
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _versions() -> str:
    lines = [f"Python {sys.version}", platform.platform()]
    libraries = sorted(f"{each.metadata['Name']} {each.version}" for each in distributions())
    return "\n".join([*lines, *dict.fromkeys(libraries)]) + "\n"
