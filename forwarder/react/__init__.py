"""Reactions: the actions that follow an alert, in Okta or by a message to another service."""
