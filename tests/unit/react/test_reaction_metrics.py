"""The series of reactions at the start of the forwarder."""

import pytest

from forwarder.metrics import Metrics
from forwarder.react.metrics import ReactionMetrics
from tests.fakes.clock import ManualClock


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("prompts_total", {"by": "push", "answer": "unknown"}),
        ("prompts_total", {"by": "ciba", "answer": "unknown"}),
        ("reactions_limit_tripped_total", {"limit": "per_user"}),
        ("reactions_limit_tripped_total", {"limit": "timed"}),
    ],
)
def test_every_series_of_an_alert_exists_from_the_start(name: str, labels: dict[str, str]) -> None:
    metrics = Metrics()
    assert metrics.registry.get_sample_value(f"forwarder_{name}", labels) is None
    ReactionMetrics(metrics, ManualClock())
    assert metrics.registry.get_sample_value(f"forwarder_{name}", labels) == 0
