"""Keys of service apps, in every form that the settings take."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from forwarder.emulator.emulator import Emulator
from forwarder.emulator.oauth.dpop import KeyFormatError, read_key
from forwarder.emulator.settings import EmulatorSettings
from tests.fakes.clock import ManualClock

KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "wrong", ["x", "{}", '{"kty":"oct","k":"x"}', '{"kty":"RSA","alg":"none"}', "-----BEGIN PUBLIC KEY-----\nx\n"]
)
def test_a_text_that_is_not_a_key_is_refused_at_the_start(wrong: str) -> None:
    settings = EmulatorSettings(token="t", clients={"0oa1": {"keys": [wrong]}})
    with pytest.raises(KeyFormatError):
        Emulator(settings, ManualClock())


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE.decode(),
        PUBLIC.decode(),
        json.dumps(ECAlgorithm.to_jwk(KEY, as_dict=True)),
        json.dumps(ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)),
    ],
    ids=["private PEM", "public PEM", "private JWK", "public JWK"],
)
def test_a_private_key_serves_as_well_as_its_public_half(text: str) -> None:
    assert read_key(text) == KEY.public_key()
