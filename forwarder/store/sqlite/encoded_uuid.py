"""The encoding of a uuid in the store: 16 bytes that begin with the time of the uuid.

Okta's event ids are uuids of version 1, which contain a time. The text of such a uuid begins with the part of the time
that changes fastest. So if the text were the key, new rows would go to different pages of the B-tree. With the encoded
key, consecutive new rows go to one page.

Only a uuid in the canonical lower-case spelling is encoded. An id with another spelling is stored as text. Two
different ids never have the same key: SQLite never treats a BLOB as equal to a TEXT, and `decode_uuid(encode_uuid(x))
== x` for every x.
"""

import re

_canonical = re.compile("([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})").fullmatch


def encode_uuid(uuid: str) -> bytes | str:
    """Return the stored form of `uuid`: 16 bytes if its spelling is canonical and lower-case, otherwise `uuid`."""
    match = _canonical(uuid)
    return bytes.fromhex("".join(match.group(3, 2, 1, 4, 5))) if match else uuid


def decode_uuid(key: bytes | str) -> str:
    """Return the uuid for which `encode_uuid` returned `key`."""
    if isinstance(key, str):
        return key
    digits = key.hex()
    return f"{digits[8:16]}-{digits[4:8]}-{digits[0:4]}-{digits[16:20]}-{digits[20:32]}"
