"""An emulated Okta org that runs in this process. Each of Okta's APIs has its own subpackage: event hooks,
System Log, OAuth, …"""
