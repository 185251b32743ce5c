"""Elastic's detection rules and their query languages, read for their event types."""
