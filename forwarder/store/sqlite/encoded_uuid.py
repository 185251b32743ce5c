"""How the store encodes a uuid: as 16 bytes with the time first, so that new rows land beside each other.

Okta's event ids are version-1 uuids, which start with their fastest-changing bytes: as text, each new one would land on
another page of the index. Only the canonical lower-case spelling is encoded; any other id stays text. SQLite never treats a
BLOB as equal to a TEXT, and `decode_uuid(encode_uuid(x)) == x` for every x, so ids in different spellings have different keys.
"""

import re

_canonical = re.compile("([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})").fullmatch


def encode_uuid(uuid: str) -> bytes | str:
    """Return the stored form of `uuid`: 16 bytes if it is spelled canonically, else the text itself."""
    match = _canonical(uuid)
    return bytes.fromhex("".join(match.group(3, 2, 1, 4, 5))) if match else uuid


def decode_uuid(key: bytes | str) -> str:
    """Return the uuid that `encode_uuid` made `key` of, as it was spelled."""
    if isinstance(key, str):
        return key
    digits = key.hex()
    return f"{digits[8:16]}-{digits[4:8]}-{digits[0:4]}-{digits[16:20]}-{digits[20:32]}"
