"""An emulated Okta org that runs in this process. Each of Okta's APIs has a subpackage of its own."""
