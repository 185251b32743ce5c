"""Runs the rules on the stored events, stores their alerts, and replays the rules on stored events on
request."""
