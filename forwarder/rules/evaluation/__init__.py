"""Evaluates rules on one event after another, keeps the state of correlations, and derives the fields below
`forwarder`."""
