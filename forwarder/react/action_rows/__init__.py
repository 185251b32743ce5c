"""The rows of actions: each change is stored, and rows that can still affect anything are in memory too."""
