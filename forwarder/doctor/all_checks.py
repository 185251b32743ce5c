"""The table of all checks, in the order in which `doctor` shows them.

Each check comes after the checks that it needs.
"""

from collections.abc import Sequence

from forwarder.doctor import (
    elasticsearch,
    hook,
    offline,
    okta,
    reaction_integrations,
    reactions,
    running_forwarder,
    send,
    sinks,
    store,
)
from forwarder.doctor.check import Check

CHECKS: Sequence[Check] = (
    *offline.CHECKS,
    *store.CHECKS,
    *running_forwarder.CHECKS,
    *store.WAITING,
    *okta.CHECKS,
    *hook.CHECKS,
    *reactions.CHECKS,
    *reaction_integrations.CHECKS,
    *elasticsearch.CHECKS,
    *sinks.CHECKS,
    *send.CHECKS,
)
