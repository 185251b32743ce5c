"""The counts of stored events."""

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.stored_event_metrics import event_type_label


def test_an_event_type_outside_the_catalogue_counts_as_other() -> None:
    assert event_type_label("user.session.start") == "user.session.start"
    assert event_type_label("user.session.start" + "x" * 99) == "other"
    assert all(event_type_label(name) == name for name in EVENT_TYPES)
