"""Reads Elastic's detection rules, in each of their query languages, to find out which event types they need."""
