"""Writes docs/doctor.md from the code: `python -m tools.make_doctor_page`."""

from pathlib import Path

from forwarder.core.doctor_event import EVENT_TYPE, TEXT, UUID_PREFIX
from forwarder.doctor.all_checks import CHECKS
from forwarder.doctor.check import Check, CheckKind

PAGE = Path(__file__).parent.parent / "docs" / "doctor.md"
_HEAD = """# forwarder doctor

For the day on which something does not work, and for the hour before the first start. One command checks the
configuration, this machine, Okta and every sink, side by side, and prints what it saw, what fixes it, and where the
[runbook](runbook.md) says more. Made from `forwarder/doctor/` by `python -m tools.make_doctor_page`.

```sh
forwarder doctor                          # everything; changes nothing
forwarder doctor hook sink.waiting        # a group, and one check
forwarder doctor --skip hook.reachable    # without one
forwarder doctor --offline                # what `forwarder check` looks at
forwarder doctor --json --strict          # for a script: a warning is a failure
forwarder doctor --send                   # posts a marked event, and finds it in every sink
forwarder doctor --bundle bundle.tar.gz   # for a bug report
```

| exit code | meaning |
|---|---|
| 0 | nothing fails; there may be warnings |
| 1 | a check fails or, with `--strict`, warns |
| 2 | wrong usage, or a configuration that cannot be loaded |

Each check has `--timeout` (5s). A check that needs another one is skipped if that fails: `because okta.reachable
failed`; the one that failed is shown too, and counts. `--json` prints `{"ok", "checks": [{"id", "group", "verdict",
"seen", "mend", "url", "seconds"}]}`; `ok` is false if a check fails. Ids are stable; a check of several orgs or sinks has
a row for each, and `seen` begins with its name.
A verdict is `ok`, `warn`, `fail` or `skip` (not checked; `seen` says why).

The bundle has the table, the configuration in force with `***` for each secret, the ledger's counts, the status and
metrics of the running forwarder, and versions. It has no event and no secret; read it before you send it, because it has
host names and error texts of servers.

"""
_SEND = f"""## With --send

These post to `hook.uri` as Okta does, so they also test what is in front of the forwarder; without `hook`, to
`receiver.listen`. First an empty envelope with a wrong secret, which must get 401; then one event with the newest secret.
It is stored and delivered as any other, within the seconds that the table says, and stays in every sink:

- `eventType` (`event.action` in Elasticsearch) is `{EVENT_TYPE}`, which no event of Okta has;
- its uuid begins with `{UUID_PREFIX}`;
- `displayMessage` (`okta.display_message`) is "{TEXT}".

A sink with `except: [{EVENT_TYPE}]` does not get it; then its check is skipped. To search for it in Elasticsearch, the sink's
key needs the index privilege `read`; without, the check says so and trusts Elasticsearch's answer to the delivery.
"""
_SECTIONS = {
    CheckKind.OFFLINE: "## Offline\n\nThese open no connection; `forwarder check` says the same.\n",
    CheckKind.ONLINE: "## Online\n\nThese ask the other side, and change nothing.\n",
    CheckKind.SEND: _SEND,
}


def page() -> str:
    """Return the page."""
    return _HEAD + "\n".join(
        f"{intro}\n| check | what it looks at | needs | runbook |\n|---|---|---|---|\n"
        + "".join(_row(check) for check in CHECKS if check.kind is kind)
        for kind, intro in _SECTIONS.items()
    )


def _row(check: Check) -> str:
    needs = ", ".join(f"`{need}`" for need in check.needs)
    link = check.url.removeprefix("docs/")
    return f"| `{check.id}` | {check.what} | {needs} | [{check.heading}]({link}) |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
