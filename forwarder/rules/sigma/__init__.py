"""Reads Sigma's rules: detections, modifiers, correlations, and filters, which are exceptions."""
