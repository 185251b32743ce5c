"""The guards: whether an action may be carried out now, and what they ask for that."""
