"""Runs the rules on the events of the store, appends their alerts to it, and replays them on request."""
