"""A URL that a client signed may have another spelling than the emulator's own."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from forwarder.emulator.http.errors import ApiError
from forwarder.emulator.oauth.clients import ClientAuthenticator
from forwarder.emulator.oauth.dpop import ProofValidator
from forwarder.emulator.oauth.tokens import TokenEndpoint
from forwarder.emulator.settings import EmulatorSettings
from tests.fakes.clock import ManualClock

KEY = ec.generate_private_key(ec.SECP256R1())
ORG = "https://acme.okta.test"
SPELLINGS = (ORG, f"{ORG}:443", "HTTPS://ACME.okta.test")
OTHERS = (f"{ORG}:80", f"{ORG}:8443", "http://acme.okta.test", "https://acme.okta.test.example.com", f"{ORG}/x")


def proof(url: str, number: int) -> str:
    header = {"typ": "dpop+jwt", "jwk": ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)}
    claims = {"htm": "POST", "htu": url, "iat": ManualClock().now() // 1_000_000, "jti": str(number)}
    return jwt.encode(claims, KEY, "ES256", header)


@pytest.mark.long
def test_a_proof_may_name_the_own_port() -> None:
    proofs = ProofValidator(ManualClock())
    for number, org in enumerate(SPELLINGS):
        for url in SPELLINGS:
            assert proofs.check(proof(f"{org}/x", number * 10 + SPELLINGS.index(url)), "POST", f"{url}/x")
    for number, org in enumerate(OTHERS):
        with pytest.raises(ApiError, match="htu"):
            proofs.check(proof(f"{org}/x", 100 + number), "POST", f"{ORG}/x")


@pytest.mark.long
@pytest.mark.parametrize("url", SPELLINGS)
def test_an_audience_may_name_the_own_port(url: str) -> None:
    clock = ManualClock()
    public = ECAlgorithm.to_jwk(KEY.public_key())
    settings = EmulatorSettings(token="t", url=url, clients={"0oa": {"keys": [public], "dpop": False}})
    clients = ClientAuthenticator(settings.clients, clock)
    endpoint = TokenEndpoint(settings, clock, ProofValidator(clock), clients)

    def ask(org: str) -> object:
        claims = {"iss": "0oa", "sub": "0oa", "aud": f"{org}/oauth2/v1/token", "exp": clock.now() // 1_000_000 + 60}
        form = {
            "grant_type": "client_credentials",
            "scope": "okta.logs.read",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, KEY, "ES256"),
        }
        return endpoint.issue(form, None)["access_token"]

    assert all(ask(org) for org in SPELLINGS)
    for org in OTHERS:
        with pytest.raises(ApiError, match="aud"):
            ask(org)
