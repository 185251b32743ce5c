"""Reads the saved objects that we ship.

In a checkout they are in the folder `dashboards/kibana`; an installed package contains a copy of this folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

import forwarder
from forwarder.core.errors import SetupError

PREFIX = "okta-forwarder-"
"""All our ids begin with this text. Objects with other ids are never written."""

_PACKAGE = Path(forwarder.__file__).parent
_FOLDERS = (_PACKAGE / "dashboards" / "kibana", _PACKAGE.parent / "dashboards" / "kibana")


class SavedObject(msgspec.Struct, frozen=True):
    """A saved object.

    Attributes:
        kind: Kibana's type of the object: `dashboard`, `search`, or `index-pattern` for a data view.
        line: the whole object, as a line of an import file.
    """

    kind: str
    id: str
    title: str
    line: str


def shipped() -> list[SavedObject]:
    """Return the saved objects that this installation contains. An object that several files contain is returned once.

    Raises:
        SetupError: the installation has no dashboards.
    """
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.ndjson"))}
    if not files:
        raise SetupError(f"this installation is not complete: {folder} has no dashboards; install it again")
    return saved_objects(files)


def saved_objects(files: Mapping[str, str]) -> list[SavedObject]:
    """Return the objects of import files, each only once, because Kibana refuses an import that has an object twice.

    Raises:
        SetupError: the id of an object lacks our prefix, or two files have different versions of an object.
    """
    found: dict[tuple[str, str], SavedObject] = {}
    for name, text in files.items():
        for line in text.splitlines():
            saved = json.loads(line)
            this = SavedObject(saved["type"], saved["id"], saved["attributes"]["title"], line)
            if not this.id.startswith(PREFIX):
                raise SetupError(f"{name}: {this.kind} {this.id} is not ours and is not written")
            if found.setdefault((this.kind, this.id), this).line != line:
                raise SetupError(f"{name}: another file has a different {this.kind} {this.id}")
    return list(found.values())
