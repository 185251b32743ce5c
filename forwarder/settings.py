"""The configuration: a YAML file, the environment over it, every fault reported at once."""
