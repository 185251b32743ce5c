"""Lists the problems of the whole forwarder, the worst first, each with a hint. Does no I/O."""
