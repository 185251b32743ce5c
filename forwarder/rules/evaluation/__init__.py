"""Evaluates rules on one event after another, keeps the state of correlations, and computes the fields `forwarder.*`
that rules may read."""
