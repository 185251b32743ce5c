"""Conditions of rules: which event types a condition names, and whether an event matches it."""
