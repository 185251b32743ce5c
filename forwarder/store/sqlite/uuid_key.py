"""How a uuid lies in the store: 16 bytes with the time first, so that new ones land beside each other.

Okta's event ids are version-1 uuids, whose fastest bytes come first: as text, each new one would land on another
page of the index. Only the canonical lower-case spelling is packed; any other id stays text. SQLite never holds a
BLOB equal to a TEXT, and `unpack(pack(x)) == x` for every x, so two ids are one key only if they are spelled alike.
"""

import re

_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def pack(uuid: str) -> bytes | str:
    """The key of `uuid`."""
    if not _CANONICAL(uuid):
        return uuid
    return bytes.fromhex(uuid[14:18] + uuid[9:13] + uuid[0:8] + uuid[19:23] + uuid[24:])


def unpack(key: bytes | str) -> str:
    """The uuid of `key`, as it was spelled."""
    if isinstance(key, str):
        return key
    digits = key.hex()
    return f"{digits[8:16]}-{digits[4:8]}-{digits[0:4]}-{digits[16:20]}-{digits[20:32]}"
