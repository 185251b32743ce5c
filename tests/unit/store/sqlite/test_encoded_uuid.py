import uuid

import hypothesis.strategies as st
import pytest
from hypothesis import given

from forwarder.store.sqlite.encoded_uuid import decode_uuid, encode_uuid


@pytest.mark.long
@given(st.uuids())
def test_a_canonical_uuid_takes_16_bytes_and_is_decoded_as_it_was(name: uuid.UUID) -> None:
    key = encode_uuid(str(name))
    assert isinstance(key, bytes)
    assert len(key) == 16
    assert decode_uuid(key) == str(name)


@given(st.text())
def test_any_other_id_stays_text(name: str) -> None:
    assert decode_uuid(encode_uuid(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "DC3C8E66-EA09-11EF-9CF1-AD97F4A9F2F5",
        "dc3c8e66ea0911ef9cf1ad97f4a9f2f5",
        "{dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2f5}",
        "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2 5",
        "dc3c8e66_ea09_11ef_9cf1_ad97f4a9f2f5",
        "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2é5",
        "",
    ],
)
def test_another_spelling_has_another_key(name: str) -> None:
    assert encode_uuid(name) == name


def test_later_version_1_uuids_have_greater_keys() -> None:
    names = [
        str(uuid.UUID(fields=(ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 | 0x1000, 0x80, 1, 7)))
        for ticks in (0x1F0_0000_0000_0000, 0x1F0_0000_0000_0001, 0x1F0_0000_FFFF_FFFF, 0x1F1_0000_0000_0000)
    ]
    keys = [encode_uuid(name) for name in names]
    assert all(isinstance(key, bytes) for key in keys)
    assert keys == sorted(keys, key=bytes)  # type: ignore[arg-type]  # just shown to be bytes
