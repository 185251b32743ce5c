"""Sigma: detections, modifiers, correlations, and filters as exceptions."""
