"""`forwarder setup kibana`: import our dashboards, and report the changes.

First, it checks that the server is a recent Kibana with the wanted space. Then it imports all objects by one request;
the response has a result for each object. A later run replaces the objects with the same ids, and no others.
"""

import re

from forwarder.core.errors import SetupError
from forwarder.setup.kibana.kibana_api import Kibana, WrittenObject
from forwarder.setup.kibana.settings import KibanaSettings
from forwarder.setup.kibana.shipped_objects import SavedObject
from forwarder.setup.reporter import Reporter

OLDEST = (8, 9)
"""Our objects have the format of this version of Kibana. Later versions convert them, earlier versions refuse them."""

_NAMES = {"dashboard": "dashboard", "search": "saved search", "index-pattern": "data view"}


def setup(settings: KibanaSettings, objects: list[SavedObject], report: Reporter, *, dry_run: bool) -> bool:
    """Import the objects; with `dry_run`, only report what would be written.

    Returns whether Kibana has all objects after the import; True with `dry_run`. If not, a message of kind `problem` says
    why.

    Raises:
        SetupError: Kibana cannot be used, is too old, or refuses the import. Nothing was written.
    """
    with Kibana(settings) as kibana:
        version = kibana.version()
        _require_recent(version)
        kibana.require_space()
        report("info", f"Kibana {version or '?'} at {settings.url}, space {settings.space}")
        if dry_run:
            for saved in objects:
                report("info", f"would write {_named(saved)} ({saved.id})")
            return True
        done = kibana.write([saved.line for saved in objects])
    written = {(one.kind, one.id): one for one in done.written}
    for saved in objects:
        if one := written.get((saved.kind, saved.id)):
            report("done", _result(settings, saved, one))
    for reason in done.refused:
        report("problem", f"Kibana refused {reason}")
    if len(written) + len(done.refused) < len(objects):
        report(
            "problem",
            f"Kibana wrote only {len(written)} of {len(objects)} objects, and gives no reason; see Kibana's log",
        )
    return len(written) == len(objects)


def _require_recent(version: str | None) -> None:
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise SetupError(
            f"this is Kibana {version}; the dashboards need {OLDEST[0]}.{OLDEST[1]} or later. Nothing was written."
        )


def _named(saved: SavedObject) -> str:
    return f"{_NAMES.get(saved.kind, saved.kind)} “{saved.title}”"


def _result(settings: KibanaSettings, saved: SavedObject, one: WrittenObject) -> str:
    text = f"{_named(saved)} {'replaced' if one.replaced else 'created'}"
    if saved.kind != "dashboard":
        return text
    return f"{text}: {settings.root}/app/dashboards#/view/{one.stored_as}"
