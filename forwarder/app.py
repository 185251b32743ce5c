"""The only place where rooms meet: builds everything from the settings, runs it, stops it in a written order."""
