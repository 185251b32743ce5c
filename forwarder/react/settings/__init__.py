"""The section `reactions` of the configuration: its types, its problems, and its warnings."""
