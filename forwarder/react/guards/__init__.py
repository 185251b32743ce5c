"""The guards, which decide whether an action may be carried out now, and the look-ups that they need."""
