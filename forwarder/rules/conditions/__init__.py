"""Conditions over events: what they say about event types, and as functions over events."""
