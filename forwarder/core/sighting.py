"""A sighting: the rules record in the store the values that a user was seen with, such as countries."""

import msgspec

from forwarder.core.time import Micros

USER = "user"
"""The kind of the sighting of the user itself; its value is empty."""

PLACES = "places"
"""The kind of the sighting that has the user's last sign-ins in `data`."""


class Sighting(msgspec.Struct, frozen=True):
    """A user of an org was seen with a `value` of a `kind`.

    Attributes:
        user: Okta's id of the user.
        since: when this was first seen, or first seen again after a long time.
        last: when this was last seen; not always updated if it is seen again soon.
    """

    org: str
    user: str
    kind: str
    value: str
    since: Micros
    last: Micros
    data: bytes = b""
