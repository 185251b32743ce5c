"""The section `reactions` of the configuration: its types, and the checks that find problems and unwise settings in
it."""
