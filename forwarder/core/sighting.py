"""The type of a sighting: the record that a user was seen with a value, such as a country. The detection rules store
sightings."""

import msgspec

from forwarder.core.time import Micros

USER = "user"
"""The kind of a sighting that records only that the user was seen. The value of such a sighting is empty."""

PLACES = "places"
"""The kind of a sighting whose `data` contains the user's last sign-ins."""


class Sighting(msgspec.Struct, frozen=True):
    """A record that a user was seen with a value.

    Attributes:
        org: the name of the user's org.
        user: Okta's ID of the user.
        kind: what the value is, for example a country.
        since: when the user was first seen with the value. If the user is not seen with the value for a long time, the
            next sighting counts as the first.
        last: when the user was last seen with the value. If the user is often seen with the value, `last` is not
            updated each time.
        data: more about the value; empty for most kinds.
    """

    org: str
    user: str
    kind: str
    value: str
    since: Micros
    last: Micros
    data: bytes = b""
