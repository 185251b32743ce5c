"""`forwarder emulate-okta`, before it serves."""

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main


@pytest.mark.long
@pytest.mark.parametrize("uri", ["nowhere", "ftp://hooks.example.com/x", "http://hooks.example.com/x"])
def test_a_hook_that_okta_would_refuse_is_refused_at_the_start(uri: str) -> None:
    flags = ["--token", "t", "--listen", "127.0.0.1:0", "--hook", uri, "--hook-secret", "s"]
    done = CliRunner().invoke(main, ["emulate-okta", *flags])
    assert done.exit_code == 2
    assert "--hook: channel.config.uri: invalid URL provided" in done.output
