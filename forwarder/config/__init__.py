"""Reads the configuration: the file, the environment over it, the types of values, messages for problems."""
