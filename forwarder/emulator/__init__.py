"""An Okta org in a process, in sub-rooms by the API that it emulates: event hooks, System Log, OAuth."""
