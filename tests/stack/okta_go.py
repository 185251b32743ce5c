"""Okta's own Go client as a process: it reads an org and prints what it understood, in the words of Terraform's provider."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from tests.stack.process import CACHE, StackError

_FOLDER = CACHE / "okta-go"
WANTED = bool(os.environ.get("FORWARDER_OKTA_GO"))
"""Whether its tests must run: building it takes minutes, so that `make stack` and CI leave it out."""


def missing() -> str | None:
    """Say what keeps Okta's Go client from being run and how to get it, or None."""
    if (_FOLDER / ".complete").exists():
        return None
    return "needs Okta's Go client: run tests/stack/build-okta-go.sh, which needs Go 1.23 or newer"


def read_org(url: str, credentials: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Read an org.

    Args:
        url: of the org.
        credentials: what the client takes from the environment, without `OKTA_CLIENT_`.

    Raises:
        StackError: the client refuses an answer of the org, or the org the client.
    """
    environment = {f"OKTA_CLIENT_{name}": value for name, value in credentials.items()}
    environment |= {"OKTA_CLIENT_ORGURL": url, "OKTA_TESTING_DISABLE_HTTPS_CHECK": "true"}
    done = subprocess.run(
        [str(_FOLDER / "readback")],
        env={"HOME": str(_FOLDER), "NO_PROXY": "127.0.0.1"} | environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise StackError(f"Okta's Go client failed: {done.stderr.decode(errors='replace')}")
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found
