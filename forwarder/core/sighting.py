"""What a user was seen with, as the store keeps it for the rules."""

import msgspec

from forwarder.core.time import Micros

USER = "user"
"""The kind of the sighting of the user as such; its value is empty."""

PLACES = "places"
"""The kind of the last sign-ins, which are in `data`."""


class Sighting(msgspec.Struct, frozen=True):
    """A user of an org was seen with a value of some kind.

    Attributes:
        user: Okta's id.
        since: when first, or when first again after a long time.
        last: when last; a sighting soon after it is not always noted.
    """

    org: str
    user: str
    kind: str
    value: str
    since: Micros
    last: Micros
    data: bytes = b""
