"""`forwarder setup elasticsearch` on a cluster that does not respond."""

from pathlib import Path

from click.testing import CliRunner

from forwarder.cli.main import main


def test_a_cluster_that_does_not_respond_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "forwarder.yaml"
    config.write_text(
        f"orgs: {{acme: {{secrets: [a-secret-of-the-tests]}}}}\nstore: {{path: {tmp_path}/s.db}}\n"
        "sinks: {a: {kind: elasticsearch, hosts: ['http://127.0.0.1:9']}}\n"
    )
    done = CliRunner().invoke(main, ["setup", "elasticsearch", "-c", str(config), "--retention", "90d"])
    assert done.exit_code == 1
    assert "no response from http://127.0.0.1:9" in done.output
