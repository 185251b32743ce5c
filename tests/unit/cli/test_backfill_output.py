"""What `forwarder backfill` shows while it waits."""

import sys
import time
from typing import Any

import pytest

from forwarder.cli.backfill import BackfillOutput


@pytest.mark.usefixtures("capsys")
def test_a_backfill_says_that_it_waits_when_no_report_comes() -> None:
    captured: Any = sys.stderr  # `readouterr` would drop what another thread writes meanwhile
    output, deadline = BackfillOutput(patience=0.02), time.monotonic() + 10
    try:
        while (shown := captured.getvalue()).count("Ctrl-C stops") < 2 and time.monotonic() < deadline:
            time.sleep(0)
    finally:
        output.close()
    assert "Waiting: no page of the System Log came for 0.02s." in " ".join(shown.split())
    assert "Waiting: no page of the System Log came for 0.04s." in " ".join(shown.split())
