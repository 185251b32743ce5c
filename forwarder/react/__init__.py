"""Reactions: what an alert leads to, towards Okta and others."""
