"""Joins `react/` with the alerts of the store, the rules, and the API of each org."""
