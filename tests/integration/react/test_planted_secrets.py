"""No output or response of a forwarder contains the secrets of its reactions."""

import base64
import json
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from jwt.algorithms import RSAAlgorithm

from forwarder.core import redaction
from forwarder.core.errors import SettingsError
from forwarder.settings import read
from tests.fakes.keys import pem, rsa_key
from tests.integration.doctor.scene import Scene

SOC = b"planted secret of soc 1"
OLD_SOC = "planted-secret-of-soc-0"
BEARER = "Bearer planted-token-of-risk"
KEY, OTHER = pem(rsa_key()), pem(rsa_key("other"))
JWK = RSAAlgorithm.to_jwk(rsa_key("third"), as_dict=True)
PLANTED = (
    base64.b64encode(SOC).decode().rstrip("="),
    SOC.decode(),
    OLD_SOC,
    "planted-token-of-risk",
    *(line for key in (KEY, OTHER) for line in key.splitlines() if "-----" not in line),
    *(JWK[member] for member in ("d", "p", "q", "dp", "dq", "qi")),
)


def reactions(**of_set: Any) -> dict[str, Any]:
    return {
        "webhooks": {
            "soc": {
                "url": "https://soc.example",
                "secret": "whsec_" + base64.b64encode(SOC).decode(),
                "previous_secret": OLD_SOC,
            }
        },
        "receivers": {"risk": {"url": "https://risk.example", "audience": "risk", "authorization": BEARER}},
        "set": {"issuer": "https://fw.example", "key": KEY, "previous_key": OTHER, "jwks": "serve"} | of_set,
    }


def planted_in(text: str) -> list[str]:
    return [secret for secret in PLANTED if secret in text]


@pytest.mark.long
@pytest.mark.parametrize("key", [KEY, json.dumps(JWK)], ids=["PEM", "JWK"])
async def test_no_secret_is_in_what_a_running_forwarder_and_its_commands_show(tmp_path: Path, key: str) -> None:
    there = Scene(tmp_path, "https://acme.okta.com", {"api": None, "hook": None})
    there.sections["reactions"] = reactions(key=key)
    bundle = tmp_path / "x.tar.gz"
    shown: list[str] = []
    with structlog.testing.capture_logs() as lines:
        async with there.forwarder() as forwarder, httpx.AsyncClient(trust_env=False) as client:
            for url in (f"{forwarder.server.address}/.well-known/jwks.json", f"{forwarder.ops.address}/metrics", f"{forwarder.ops.address}/api/status"):  # fmt: skip
                answer = await client.get(f"http://{url}")
                assert answer.status_code == 200
                shown.append(answer.text)
            for words in (["config", "show"], ["config", "show", "--json"], ["check"], ["stats", "--json"], ["reactions", "jwks"]):  # fmt: skip
                code, output = await there.command(*words)
                assert code == 0
                shown.append(output)
            await there.doctor("store", "forwarder", "--bundle", str(bundle))
            shown.append(repr(forwarder.settings))
    with tarfile.open(bundle) as archive:
        shown += [archive.extractfile(each).read().decode() for each in archive.getmembers()]  # type: ignore[union-attr]
    assert '"kid"' in shown[0]
    assert any("soc.example" in text for text in shown)  # the section is shown
    assert planted_in("\n".join([*shown, str(lines)])) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"key": KEY[:-200]},
        {"key": KEY.replace("PRIVATE KEY", "PUBLIC KEY")},
        {"key": KEY.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE")},
        {"key": json.dumps(JWK | {"p": JWK["q"]})},
        {"key": json.dumps(JWK)[:-20]},
        {"key": {"text": KEY}},
        {"key": [KEY]},
        {"previous_key": KEY},
        {"kye": KEY},
        {"issuer": KEY},
    ],
)
def test_no_secret_is_in_a_problem(broken: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        read({"reactions": reactions(**broken), "orgs": {}, "sinks": {}})
    problems = "\n".join(caught.value.problems)
    assert "reactions.set" in problems
    # An issuer is no secret; whoever writes a key there sees what was written, as in every other key.
    assert planted_in(redaction.redact(problems) if "issuer" in broken else problems) == []
