"""The rows of actions: the store has every row, and memory has the rows that the engine or the guards still need."""
