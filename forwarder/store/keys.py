"""How a uuid lies in the store: 16 bytes with the time first, so that new ones land beside each other.

Okta's event ids are version-1 uuids, whose fastest bytes come first: as text, each new one would land on another
page of the index. Only the canonical lower-case spelling is packed; any other id stays text. SQLite never holds a
BLOB equal to a TEXT, and `unpack(pack(x)) == x` for every x, so two ids are one key only if they are spelled alike.
"""


def pack(uuid: str) -> bytes | str:
    """The key of `uuid`."""
    if len(uuid) != 36:
        return uuid
    try:
        packed = bytes.fromhex(uuid[14:18] + uuid[9:13] + uuid[0:8] + uuid[19:23] + uuid[24:36])
    except ValueError:
        return uuid
    # fromhex is generous (upper case, blanks): only what comes back as it was may be packed
    return packed if len(packed) == 16 and unpack(packed) == uuid else uuid


def unpack(key: bytes | str) -> str:
    """The uuid of `key`, as it was spelled."""
    if isinstance(key, str):
        return key
    digits = key.hex()
    return f"{digits[8:16]}-{digits[4:8]}-{digits[0:4]}-{digits[16:20]}-{digits[20:32]}"
