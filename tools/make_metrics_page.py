"""Writes docs/metrics.md from the code: `python -m tools.make_metrics_page`."""

from pathlib import Path

from forwarder.metrics import Metrics

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_HEAD = """# Metrics

`GET /metrics` of the ops listener, as Prometheus text or OpenMetrics. Made from `forwarder/metrics.py` by
`python -m tools.make_metrics_page`.

Labels are bounded: `org` and `sink` come from the configuration, `event_type` from Okta's catalogue (anything else is
`other`), all others from fixed lists. The event types that matter most for security exist at 0 from the start, so that a
rate sees their first event. `via` is `hook` or `log` (the System Log). Times in `_timestamp_seconds` are Unix times.

Alerts and recording rules on them: [config/prometheus/forwarder.rules.yml](../config/prometheus/forwarder.rules.yml), for a
scrape job with the name `forwarder`; the [runbook](runbook.md) has a section for each alert. How to
route them, and which one silences which: [config/prometheus/alertmanager.yaml](../config/prometheus/alertmanager.yaml).

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    lines = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, kind, labels, meaning in sorted(Metrics().declared)
    ]
    process = "Also `process_*` of the process: memory, CPU, descriptors, start time."
    return _HEAD + "\n".join(lines) + f"\n\n{process}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
