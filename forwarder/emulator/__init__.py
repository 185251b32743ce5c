"""An emulated Okta org in a process, with a subpackage for each of Okta's APIs: event hooks, System Log,
OAuth, …"""
