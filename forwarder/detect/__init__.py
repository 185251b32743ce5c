"""Runs the rules on stored events, stores their alerts, and replays the rules on request."""
