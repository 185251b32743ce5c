"""Makes the bundle for a bug report: a tar archive with the results of the checks and the state of the forwarder.

The bundle contains no event and no secret.
"""

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
from forwarder.doctor.network import request
from forwarder.doctor.running_forwarder import ops_url

_ABOUT = """A support bundle of okta-forwarder, written by `forwarder doctor --bundle`.

The bundle contains host names, names of orgs and sinks, event types, counts, and error texts of servers. It contains no
event and no secret. Please read the files before you send them.

{files}
"""

_WHAT = {
    "doctor.json": "what each check saw",
    "config.json": "the configuration in force, with defaults; *** stands for a secret",
    "versions.txt": "the versions of Python, the system and every library",
    "ledger.json": "the number of stored events, and for each sink the numbers of delivered, waiting and other events",
    "status.json": "what the running forwarder reports about itself",
    "metrics.txt": "the metrics of the running forwarder",
}


async def collect(context: Context, rows: Sequence[CheckRow]) -> dict[str, str]:
    """Return the text of each file of the bundle, by name of the file. Secrets in the texts are redacted.

    If no forwarder runs, the files about the running forwarder are left out. If no check has read the store, the ledger
    is left out.
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
    """Write the bundle to the new file `path`. Only the current user may read the file.

    Raises:
        ForwarderError: the file exists already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ForwarderError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise ForwarderError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder that exists and in which you may write"
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
