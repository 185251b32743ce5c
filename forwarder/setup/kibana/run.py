"""`forwarder setup kibana`: import our dashboards, and say what that changes.

Order: look (is it a Kibana, recent enough, is there the space), then one import of everything. Kibana answers for each
object. Running it again replaces the same objects by id, and no other.
"""

import re

from forwarder.core.errors import SetupError
from forwarder.setup.kibana.client import Kibana, Written
from forwarder.setup.kibana.settings import KibanaSettings
from forwarder.setup.kibana.shipped import SavedObject
from forwarder.setup.line import Line, Say

OLDEST = (8, 9)
"""The Kibana whose form our objects have. Later ones bring them up to date, earlier ones refuse them."""

_NAMES = {"dashboard": "dashboard", "search": "saved search", "index-pattern": "data view"}


def setup(settings: KibanaSettings, objects: list[SavedObject], say: Say, *, dry_run: bool) -> bool:
    """Import the objects.

    Args:
        settings: which Kibana.
        objects: what to import.
        say: takes what there is to tell, in order.
        dry_run: look, tell what would be written, and write nothing.

    Returns:
        Whether Kibana has, or would get, every object; False has been explained by a line of kind `fault`.

    Raises:
        SetupError: it cannot be done; nothing was written.
    """
    with Kibana(settings) as kibana:
        version = kibana.version()
        _require_recent(version)
        kibana.require_space()
        say(Line("info", f"Kibana {version or '?'} at {settings.url}, space {settings.space}"))
        if dry_run:
            for saved in objects:
                say(Line("info", f"would write {_named(saved)} ({saved.id})"))
            return True
        done = kibana.write([saved.line for saved in objects])
    written = {(one.kind, one.id): one for one in done.written}
    for saved in objects:
        if one := written.get((saved.kind, saved.id)):
            say(Line("done", _told(settings, saved, one)))
    for reason in done.refused:
        say(Line("fault", f"Kibana refused {reason}"))
    if len(written) + len(done.refused) < len(objects):
        say(Line("fault", f"Kibana wrote {len(written)} of {len(objects)} objects and does not say why"))
    return len(written) == len(objects)


def _require_recent(version: str | None) -> None:
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if found and (int(found[1]), int(found[2])) < OLDEST:
        raise SetupError(
            f"this is Kibana {version}; the dashboards need {OLDEST[0]}.{OLDEST[1]} or later. Nothing was written."
        )


def _named(saved: SavedObject) -> str:
    return f"{_NAMES.get(saved.kind, saved.kind)} “{saved.title}”"


def _told(settings: KibanaSettings, saved: SavedObject, one: Written) -> str:
    told = f"{_named(saved)} {'replaced' if one.replaced else 'made'}"
    if saved.kind != "dashboard":
        return told
    return f"{told}: {settings.root}/app/dashboards#/view/{one.stored_as}"
