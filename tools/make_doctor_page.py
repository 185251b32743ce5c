"""Writes docs/doctor.md from the code: `python -m tools.make_doctor_page`."""

from pathlib import Path

from forwarder.core.doctor_event import EVENT_TYPE, TEXT, UUID_PREFIX
from forwarder.doctor.all_checks import CHECKS
from forwarder.doctor.check import Check, CheckKind

PAGE = Path(__file__).parent.parent / "docs" / "doctor.md"
_HEAD = """# forwarder doctor

Use `forwarder doctor` before the first start, and when something does not work. It checks the configuration, this machine, Okta and
every sink. For each problem, it prints what it found, how to fix it, and the section of the [runbook](runbook.md). This page is
generated from `forwarder/doctor/` by `python -m tools.make_doctor_page`.

```sh
forwarder doctor                          # runs all checks; changes nothing
forwarder doctor hook sink.waiting        # runs a group of checks, and one more check
forwarder doctor --skip hook.reachable    # leaves one check out
forwarder doctor --offline                # runs only the checks of `forwarder check`
forwarder doctor --json --strict          # for a script: exits with 1 also if a check warns
forwarder doctor --send                   # also posts a marked event, and looks for it in every sink
forwarder doctor --bundle bundle.tar.gz   # also writes a bundle for a bug report
```

| exit code | meaning |
|---|---|
| 0 | no check fails; checks may warn |
| 1 | a check fails or, with `--strict`, warns |
| 2 | wrong usage, or a configuration that cannot be loaded |

Each check may take 5 s (`--timeout`). If a check fails, the checks that need it are skipped, with a text such as `because
okta.reachable failed`. `--json` prints `{"ok", "checks": [{"id", "group", "verdict", "seen", "mend", "url", "seconds"}]}`.

- `"ok"` is false if a check fails.
- `"id"` never changes. If a check is about several orgs or sinks, each has its own entry, and `"seen"` begins with its name.
- `"verdict"` is `ok`, `warn`, `fail` or `skip` (not checked; `"seen"` says why).
- `"seen"` is what the check found, `"mend"` how to fix it, `"url"` the section of the runbook.

The bundle contains the results of the checks, the configuration in force with `***` for each secret, the ledger's counts, the status
and metrics of the running forwarder, and versions. It has no events and no secrets. Read it before you send it, because it has host
names and error texts of servers.

"""
_SEND = f"""## With --send

These checks post to `hook.uri` as Okta does, so they also test the proxy; without `hook`, they post to `receiver.listen`. First they
post an empty envelope with a wrong secret, which must get 401; then one event with the newest secret. This event is stored and
delivered like any other event, and stays in every sink:

- `eventType` (`event.action` in Elasticsearch) is `{EVENT_TYPE}`, which no event of Okta has;
- its uuid begins with `{UUID_PREFIX}`;
- `displayMessage` (`okta.display_message`) is "{TEXT}".

A sink with `except: [{EVENT_TYPE}]` does not get the event, and its check is skipped. To search for the event in Elasticsearch, the
sink's key needs the index privilege `read`. Without it, the check says so, and trusts Elasticsearch's answer to the delivery.
"""
_SECTIONS = {
    CheckKind.OFFLINE: "## Offline\n\nThese checks open no connection; `forwarder check` runs them too.\n",
    CheckKind.ONLINE: "## Online\n\nThese checks may open connections, but change nothing.\n",
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
