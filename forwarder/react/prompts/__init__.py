"""Prompts: a user is asked on their phone, at most once, and the answer is one of five words."""
