"""What `forwarder backfill` shows while it waits."""

import time

import pytest

from forwarder.cli.backfill import BackfillOutput


def test_a_backfill_says_that_it_waits_when_no_report_comes(capsys: pytest.CaptureFixture[str]) -> None:
    output, shown, deadline = BackfillOutput(patience=0.02), "", time.monotonic() + 10
    try:
        while shown.count("Waiting: no page of the System Log came for") < 2 and time.monotonic() < deadline:
            shown += capsys.readouterr().err
    finally:
        output.close()
    assert "Waiting: no page of the System Log came for 0.02s." in " ".join(shown.split())
    assert "Waiting: no page of the System Log came for 0.04s." in " ".join(shown.split())
