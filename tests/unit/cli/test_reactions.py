"""`forwarder reactions jwks`."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.react.settings.signing_keys import signing_key
from tests.fakes.keys import pem, rsa_key


def run(here: Path, **sections: Any) -> Result:
    file = here / "forwarder.yaml"
    tree = {
        "orgs": {"acme": {"secrets": [{"env": "NOT_SET_HERE"}]}},
        "sinks": {"archive": {"kind": "file", "path": str(here / "x.ndjson")}},
    }
    file.write_text(yaml.safe_dump(tree | sections))
    return CliRunner().invoke(main, ["reactions", "jwks", "-c", str(file)], catch_exceptions=False)


@pytest.mark.long
def test_it_prints_the_public_keys_and_needs_no_other_secret(tmp_path: Path) -> None:
    (tmp_path / "set.pem").write_text(pem(rsa_key()))
    keys = {"key": {"file": str(tmp_path / "set.pem")}, "previous_key": pem(rsa_key("other"))}
    done = run(tmp_path, reactions={"set": {"issuer": "https://fw.example"} | keys})
    assert done.exit_code == 0
    assert [key["kid"] for key in json.loads(done.stdout)["keys"]] == [
        signing_key(pem(rsa_key(name))).kid for name in ("first", "other")
    ]
    assert not {"d", "p", "q"} & {member for key in json.loads(done.stdout)["keys"] for member in key}


def test_without_keys_it_says_what_to_write(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "reactions.set: there are no keys without this section; add the section, as in" in done.stderr


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, reactions={"set": {"issuer": "https://fw.example", "key": {"env": "NO_SUCH_KEY"}}})
    assert done.exit_code == 2
    assert "reactions.set.key: the environment variable NO_SUCH_KEY is not set" in done.stderr
