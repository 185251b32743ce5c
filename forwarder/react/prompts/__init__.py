"""Prompts: ask a user on their phone, at most once; the answer is one of the words of `Reply`."""
