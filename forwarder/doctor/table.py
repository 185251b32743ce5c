"""The table of all checks, in the order in which they are shown. A check stands after those that it needs."""

from collections.abc import Sequence

from forwarder.doctor import hook, machine, offline, okta
from forwarder.doctor.check import Check

CHECKS: Sequence[Check] = (*offline.CHECKS, *machine.CHECKS, *okta.CHECKS, *hook.CHECKS)

GROUPS = tuple(dict.fromkeys(check.group for check in CHECKS))
