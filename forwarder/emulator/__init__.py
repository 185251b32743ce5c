"""An Okta org in a process, in sub-rooms by the API that it emulates: event hooks, System Log, OAuth.

It calls receivers as Okta does, and serves Okta's own paths; `/emulator` emits events and sets faults.
"""
