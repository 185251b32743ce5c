"""Reads the configuration: the file, the environment over it, the types of its values, and problems in words."""
