"""The guards, and the look-ups that the guards need. The guards decide whether an action may be carried out now."""
