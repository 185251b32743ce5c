"""What is wrong with the whole forwarder: the worst problems first, each with a hint. Pure: it does no I/O."""
