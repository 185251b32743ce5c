"""The rows of actions. A row is the stored record of one action. The store has every row; memory has only the rows that
the engine or the guards still need."""
