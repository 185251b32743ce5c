"""Prompts: each asks a user on their phone, at most once. The answer is one of the words of `Reply`."""
