"""The encoding of a uuid in the store: 16 bytes with the time first, so that new rows are beside each other in the index.

Okta's event ids are uuids of version 1. Their text begins with the bytes that change fastest, so each new text would go to
another page of the index.

Only a uuid in the canonical lower-case spelling is encoded; any other id stays a text. Ids in different spellings always have
different keys, because SQLite never treats a BLOB as equal to a TEXT, and `decode_uuid(encode_uuid(x)) == x` for every x.
"""

import re

_canonical = re.compile("([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})").fullmatch


def encode_uuid(uuid: str) -> bytes | str:
    """Return the stored form of `uuid`: 16 bytes if the uuid has the canonical spelling, else the text itself."""
    match = _canonical(uuid)
    return bytes.fromhex("".join(match.group(3, 2, 1, 4, 5))) if match else uuid


def decode_uuid(key: bytes | str) -> str:
    """Return the uuid from which `encode_uuid` made `key`, in its original spelling."""
    if isinstance(key, str):
        return key
    digits = key.hex()
    return f"{digits[8:16]}-{digits[4:8]}-{digits[0:4]}-{digits[16:20]}-{digits[20:32]}"
