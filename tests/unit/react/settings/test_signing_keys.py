"""The keys of security event tokens: the accepted keys, and their published parts."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import RSAAlgorithm

from forwarder.react.settings.signing_keys import PRIVATE_MEMBERS, key_set, public_jwk, signing_key
from tests.fakes.keys import pem, public_pem, rsa_key


def test_the_key_set_has_the_public_part_only() -> None:
    text = pem(rsa_key())
    (published,) = json.loads(key_set([text]))["keys"]
    assert published.keys() == {"kty", "use", "alg", "kid", "n", "e"}
    assert not PRIVATE_MEMBERS & published.keys()
    assert published == published | {"kty": "RSA", "use": "sig", "alg": "RS256", "e": "AQAB"}


@pytest.mark.long
def test_a_token_signed_with_the_key_is_valid_by_the_key_set() -> None:
    key = signing_key(pem(rsa_key()))
    token = jwt.encode({"a": 1}, key.private, "RS256", {"kid": key.kid})
    found = jwt.PyJWKSet.from_json(key_set([pem(rsa_key("other")), pem(rsa_key())]).decode())[key.kid]
    assert jwt.decode(token, found, ["RS256"]) == {"a": 1}


@pytest.mark.long
def test_a_key_has_the_same_id_in_each_form_and_after_each_start() -> None:
    key = rsa_key()
    jwk = RSAAlgorithm.to_jwk(key)
    forms = [pem(key), f"\n{pem(key)}\n", public_pem(key), jwk]
    assert len({public_jwk(form)["kid"] for form in forms}) == 1
    assert signing_key(pem(key)).kid == public_jwk(public_pem(key))["kid"]


def test_the_id_is_the_thumbprint_of_rfc_7638() -> None:
    """The key is the example in section 3.1 of the RFC."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1"
        "n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    jwk = json.dumps({"kty": "RSA", "n": modulus, "e": "AQAB"})
    assert public_jwk(jwk)["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.long
def test_a_jwk_keeps_the_id_that_it_carries() -> None:
    jwk = json.dumps(RSAAlgorithm.to_jwk(rsa_key(), as_dict=True) | {"kid": "mine"})
    assert signing_key(jwk).kid == "mine"
    assert public_jwk(jwk)["kid"] == "mine"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            pem(rsa_key("weak", 1024)),
            "the key has 1024 bits, but at least 2048 bits are required; make one with: openssl",
        ),
        (pem(ec.generate_private_key(ec.SECP256R1())), "is not an RSA key, but Okta accepts only RS256"),
        (pem(rsa_key(), b"a password"), "has a password"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "is not a readable key in PEM or JWK format"),
        ("not a key", "is not a readable key in PEM or JWK format"),
        ("{}", "is not a readable key in PEM or JWK format"),
        ('{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}', "is not an RSA key"),
    ],
    ids=["1024 bits", "EC", "with a password", "broken PEM", "text", "empty JWK", "symmetric"],
)
def test_a_key_that_cannot_sign_is_refused_with_what_to_do(text: str, problem: str) -> None:
    for read in (signing_key, public_jwk):
        with pytest.raises(ValueError, match=problem) as caught:
            read(text)
        assert "openssl" in str(caught.value)
        assert text[30:60] not in str(caught.value) or not text[30:60]


def test_a_public_key_cannot_sign() -> None:
    with pytest.raises(ValueError, match="is a public key; write the private key"):
        signing_key(public_pem(rsa_key()))


def test_the_repr_of_a_key_shows_its_id_only() -> None:
    key = signing_key(pem(rsa_key()))
    assert repr(key) == f"SigningKey({key.kid!r})"
