"""Reads the configuration from a YAML file and environment variables, and describes problems for operators."""
