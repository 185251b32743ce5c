"""Prompts. Each prompt asks a user on their phone, at most once. The possible answers are the values of `Reply`."""
