"""Reads the configuration: the file, the environment that overrides it, the types of values, and problem messages."""
