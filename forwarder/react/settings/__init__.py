"""The section `reactions` of the configuration: its types, what does not fit together, and what is unwise."""
