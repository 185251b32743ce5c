"""Connects `react/` with the stored alerts, the rules, and the API of each org."""
