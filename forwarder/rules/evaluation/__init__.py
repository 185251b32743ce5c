"""Rules on one event after another, with what they remember and the fields that we derive."""
