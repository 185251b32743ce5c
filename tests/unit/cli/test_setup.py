"""What `forwarder setup elasticsearch` makes of its options, before it asks any cluster."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.setup.elasticsearch.template_bodies import elastic_time

SIEM = "{kind: elasticsearch, hosts: ['http://127.0.0.1:9']}"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(90 * 86_400.0, "90d"), (36 * 3_600.0, "36h"), (5_400.0, "90m"), (61.0, "61s"), (172_800.0, "2d")],
)
def test_a_time_is_written_in_the_largest_unit_that_fits(seconds: float, written: str) -> None:
    assert elastic_time(seconds) == written


def run(folder: Path, sinks: str, *options: str) -> tuple[int, str]:
    config = folder / "forwarder.yaml"
    config.write_text(
        f"orgs: {{acme: {{secrets: [a-secret-of-the-tests]}}}}\nstore: {{path: {folder}/s.db}}\nsinks: {sinks}\n"
    )
    done = CliRunner().invoke(main, ["setup", "elasticsearch", "-c", str(config), *options])
    return done.exit_code, done.output


@pytest.mark.long
@pytest.mark.parametrize(
    ("sinks", "options", "words"),
    [
        (f"{{a: {SIEM}, b: {SIEM}}}", (), "--sink: a, b"),
        (f"{{a: {SIEM}}}", ("--sink", "b"), "--sink: a"),
        ("{a: {kind: file, path: /tmp/x}}", (), "has no sink of the kind elasticsearch"),
        (f"{{a: {SIEM}}}", ("--retention", "soon"), "is not a time"),
        (f"{{a: {SIEM}}}", ("--retention", "9d", "--ilm-policy", "x"), "not both"),
    ],
)
def test_wrong_usage_is_told_and_exits_2(tmp_path: Path, sinks: str, options: tuple[str, ...], words: str) -> None:
    code, output = run(tmp_path, sinks, *options)
    assert (code, words in output) == (2, True), output
