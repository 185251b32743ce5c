"""The rows of actions: stored at each change, and those that still matter in memory."""
