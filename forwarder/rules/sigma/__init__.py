"""Reads Sigma's rules: detections, modifiers, correlations, and filters. A filter is called an exception here."""
