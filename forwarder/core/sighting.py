"""A sighting: a value that a user was seen with, such as a country. The rules record sightings in the store."""

import msgspec

from forwarder.core.time import Micros

USER = "user"
"""The kind of a sighting that says only that the user was seen. Its value is empty."""

PLACES = "places"
"""The kind of a sighting that has the user's last sign-ins in `data`."""


class Sighting(msgspec.Struct, frozen=True):
    """A user of an org was seen with a `value` of a `kind`.

    Attributes:
        user: Okta's ID of the user.
        since: when the value was first seen, or first seen again after a long time.
        last: when the value was last seen. It is not updated each time if the value is seen often.
    """

    org: str
    user: str
    kind: str
    value: str
    since: Micros
    last: Micros
    data: bytes = b""
