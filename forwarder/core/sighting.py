"""A sighting: a value that a user was seen with, such as a country. The rules record sightings in the store."""

import msgspec

from forwarder.core.time import Micros

USER = "user"
"""The kind of the sighting of the user itself; its value is empty."""

PLACES = "places"
"""The kind of the sighting whose `data` has the user's last sign-ins."""


class Sighting(msgspec.Struct, frozen=True):
    """A user of an org was seen with a `value` of a `kind`.

    Attributes:
        user: Okta's id of the user.
        since: when the value was first seen, or first seen again after a long time.
        last: when the value was last seen; not always updated if the value is seen again soon after.
    """

    org: str
    user: str
    kind: str
    value: str
    since: Micros
    last: Micros
    data: bytes = b""
