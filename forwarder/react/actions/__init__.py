"""The requests that each action sends: calls of Okta's API, signed webhooks, security event tokens."""
