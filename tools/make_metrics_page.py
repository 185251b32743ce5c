"""Writes docs/metrics.md from the code: `python -m tools.make_metrics_page`."""

from pathlib import Path

from forwarder.metrics import Metrics

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_HEAD = """# Metrics

`GET /metrics` of the ops listener returns these metrics as Prometheus text or OpenMetrics. This page is generated from
`forwarder/metrics.py` by `python -m tools.make_metrics_page`.

The number of values of each label is limited: `org` and `sink` come from the configuration, `event_type` from Okta's catalogue (any
other type is `other`), all other labels from fixed lists. The series of the event types that matter most for security start at 0, so
that `rate()` includes their first event. `via` is `hook` or `log` (the System Log). Values of `_timestamp_seconds` are Unix times.

[config/prometheus/forwarder.rules.yml](../config/prometheus/forwarder.rules.yml) has alerts and recording rules for a scrape job with
the name `forwarder`; the [runbook](runbook.md) has a section for each alert.
[config/prometheus/alertmanager.yaml](../config/prometheus/alertmanager.yaml) shows how to route alerts, and which alert silences which.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    lines = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, kind, labels, meaning in sorted(Metrics().declared)
    ]
    process = "There are also the usual `process_*` metrics: memory, CPU, file descriptors, start time."
    return _HEAD + "\n".join(lines) + f"\n\n{process}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
