"""Evaluates rules on one event after another; also the state of correlations, and the fields below
`forwarder`."""
