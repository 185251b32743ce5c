"""`forwarder setup grafana`: write our dashboards, and report the changes.

After some checks, it writes the data sources (if the operator wants them), the folder, and the dashboards. Each object is
found by its uid, and written only if it differs. Objects that setup did not create are not changed.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

import forwarder
from forwarder.core.errors import SetupError
from forwarder.setup.grafana.grafana_api import Grafana
from forwarder.setup.grafana.settings import GrafanaSettings
from forwarder.setup.reporter import Reporter

OLDEST = (11, 0)
"""Our dashboards have the format of this version of Grafana. Later versions convert them."""

PREFIX = "okta-forwarder"
"""All our uids begin with this text, and all our dashboards have it as a tag."""

_PACKAGE = Path(forwarder.__file__).parent
_FOLDERS = (_PACKAGE / "dashboards" / "grafana", _PACKAGE.parent / "dashboards" / "grafana")
_ADDED = {"id", "version"}
"""The keys that Grafana adds to a dashboard."""
_SOURCES: dict[str, dict[str, Any]] = {
    "prometheus": {"name": "Okta forwarder: metrics", "jsonData": {}},
    "elasticsearch": {
        "name": "Okta forwarder: events",
        "jsonData": {"index": "logs-okta.system-*,metrics-okta_forwarder.health-*", "timeField": "@timestamp"},
    },
}

Json = dict[str, Any]


class _Meta(msgspec.Struct, frozen=True):
    provisioned: bool = False
    folder: str | None = msgspec.field(name="folderUid", default=None)


class _Dashboard(msgspec.Struct, frozen=True):
    """A dashboard, and what Grafana says about it."""

    dashboard: Json
    meta: _Meta = _Meta()

    @property
    def ours(self) -> bool:
        """Whether setup created the dashboard."""
        tags = self.dashboard.get("tags")
        return isinstance(tags, list) and PREFIX in tags


class _Folder(msgspec.Struct, frozen=True):
    uid: str


def shipped() -> list[Json]:
    """Return the dashboards that this installation contains.

    Raises:
        SetupError: the installation contains no dashboards.
    """
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise SetupError(f"this installation is not complete: {folder} has no dashboards; install it again")
    return found


def setup(settings: GrafanaSettings, dashboards: list[Json], report: Reporter, *, dry_run: bool) -> bool:
    """Write the dashboards; with `dry_run`, only report what would be written.

    Returns whether Grafana now has all dashboards, or would have them without `dry_run`. If not, a message of kind
    `problem` says why.

    Raises:
        SetupError: Grafana refuses a request or does not respond. Objects that are already written stay; they were
            reported as `done`.
    """
    with Grafana(settings) as grafana:
        version = grafana.version()
        found = re.match(r"(\d+)\.(\d+)", version or "")
        if found and (int(found[1]), int(found[2])) < OLDEST:
            raise SetupError(
                f"this is Grafana {version}; the dashboards need {OLDEST[0]} or later. Nothing was written."
            )
        report("info", f"Grafana {version or '?'} at {settings.url}, folder {settings.folder}")
        writer = _Writer(grafana, settings, report, dry_run=dry_run)
        for kind in _SOURCES:
            if url := getattr(settings, kind):
                writer.source(kind, url)
        writer.folder()
        written = [writer.dashboard(_with_runbook(one, settings.runbook_url)) for one in dashboards]
        return all(written)


class _Writer:
    """Writes data sources, the folder and dashboards that differ, and reports each change. In a dry run, it only
    reports."""

    def __init__(self, grafana: Grafana, settings: GrafanaSettings, report: Reporter, *, dry_run: bool) -> None:
        self._grafana = grafana
        self._settings = settings
        self._report = report
        self._dry_run = dry_run

    def source(self, kind: str, url: str) -> None:
        """Write the data source of the kind `prometheus` or `elasticsearch`, with the address `url`."""
        uid, what = f"{PREFIX}-{kind}", f"data source “{_SOURCES[kind]['name']}” ({kind})"
        wanted = {"uid": uid, "type": kind, "access": "proxy", "url": url, **_SOURCES[kind]}
        stored = self._grafana.find(f"/api/datasources/uid/{uid}", Json, what)
        path = "/api/datasources" if stored is None else f"/api/datasources/uid/{uid}"
        same = stored is not None and all(stored.get(key) == value for key, value in wanted.items())
        # Keys that someone added to the data source in Grafana, such as credentials, stay.
        body = {**stored, **wanted} if stored else wanted
        self._write(what, stored, body, "POST" if stored is None else "PUT", path, same=same)

    def folder(self) -> None:
        """Create the folder for the dashboards. If it exists, its title and its parent folder stay."""
        what = f"folder “{self._settings.folder}”"
        found = self._grafana.find(f"/api/folders/{PREFIX}", _Folder, what)
        body = {"uid": PREFIX, "title": self._settings.folder}
        self._write(what, None, body, "POST", "/api/folders", same=found is not None)

    def dashboard(self, wanted: Json) -> bool:
        """Write a dashboard. Return False if its uid belongs to a dashboard that setup did not create."""
        what = f"dashboard “{wanted['title']}”"
        found = self._grafana.find(f"/api/dashboards/uid/{wanted['uid']}", _Dashboard, what)
        if found and found.meta.provisioned:
            self._report(
                "note", f"{what}: Grafana loads it from a file (provisioning), so it can be changed only in that file"
            )
            return True
        if found and not found.ours:
            self._report(
                "problem",
                f"{what}: a dashboard that this command did not create has the uid {wanted['uid']}; give it another uid, or delete it",
            )
            return False
        stored = found.dashboard if found else None
        same = found is not None and _comparable(found.dashboard) == wanted and found.meta.folder == PREFIX
        body = {"dashboard": wanted, "folderUid": PREFIX, "overwrite": True, "message": "forwarder setup grafana"}
        self._write(what, stored, body, "POST", "/api/dashboards/db", same=same)
        return True

    def _write(self, what: str, stored: Json | None, body: Json, method: str, path: str, *, same: bool) -> None:
        if same:
            self._report("same", f"{what}: up to date")
        elif self._dry_run:
            self._report("note", f"{what}: would {'create' if stored is None else 'replace'} it")
        else:
            answer = self._grafana.send(method, path, body, what)
            url = f": {self._settings.url}{place}" if (place := _place(answer)) else ""
            self._report("done", f"{what} {'created' if stored is None else 'replaced'}{url}")


def _place(answer: Json) -> str:
    """Return the URL path of a written dashboard, without Grafana's sub-path; empty for other objects."""
    found = re.search(r"/d/[^?#]*", str(answer.get("url", "")))
    return found[0] if found and "slug" in answer else ""


def _comparable(stored: Json) -> Json:
    return {key: value for key, value in stored.items() if key not in _ADDED}


def _with_runbook(dashboard: Json, url: str | None) -> Json:
    if url is None:
        return dashboard
    variables = [{**one, "query": url} if one["name"] == "runbook" else one for one in dashboard["templating"]["list"]]
    return {**dashboard, "templating": {**dashboard["templating"], "list": variables}}
