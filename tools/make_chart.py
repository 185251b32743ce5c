"""Copy the alerts, the Grafana dashboards and the schema of the configuration into the Helm chart, which can read no file
outside of its folder.

Usage: python -m tools.make_chart
`python -m tools.make_chart --goldens` updates the rendered examples of tests/e2e/chart (needs helm: `make dev`).
"""

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.stack.process import ROOT

CHART = ROOT / "deploy" / "helm" / "okta-forwarder"
GOLDENS = ROOT / "tests" / "e2e" / "chart"
RULES = ROOT / "config" / "prometheus" / "forwarder.rules.yml"
SCHEMA = CHART / "values.schema.json"
HELM = Path(sysconfig.get_path("scripts")) / "helm"

_TESTED_ELSEWHERE = re.compile(r"(kind: PrometheusRule\n(?:.*\n)*?spec:\n)(?: .*\n|\n)+")


def sources() -> dict[Path, Path]:
    """Return each file of the chart that is a copy, with what it is a copy of."""
    files = CHART / "files"
    dashboards = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))
    return {files / RULES.name: RULES} | {files / "dashboards" / path.name: path for path in dashboards}


def schema() -> str:
    """Return the text of the schema of the values, in which `config` has the schema of the product's configuration.

    Nothing is required: the chart fills in what is missing.
    """
    values = json.loads(SCHEMA.read_text(encoding="utf-8"))
    product = json.loads((ROOT / "config" / "forwarder.schema.json").read_text(encoding="utf-8"))
    meaning = "The forwarder's own configuration, as in docs/configuration.md."
    kept = {key: product[key] for key in ("type", "additionalProperties", "properties")}
    values["properties"]["config"] = {"description": meaning, **kept}
    values["$defs"] = product["$defs"]
    reactions = values["$defs"]["ReactionsSettings"]["properties"]
    reactions["true"] = reactions["on"] | {"description": "What Helm makes of the key `on`."}
    return json.dumps(values, indent=2) + "\n"


def copies() -> Iterator[Path]:
    """Yield every file that lies where the copies do."""
    return (path for path in (CHART / "files").rglob("*") if path.is_file())


def examples() -> list[Path]:
    """Return the values files of the chart's tests."""
    return sorted((CHART / "ci").glob("*-values.yaml"))


def render(*arguments: str | Path) -> str:
    """Return what `helm template` prints for a release named `okta` in the namespace `security`."""
    command = [HELM, "template", "okta", CHART, "--namespace", "security", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def golden(rendered: str) -> str:
    """Return the text that is kept of a rendered chart: without alerts and dashboards, which change with their sources."""
    parts = [part for part in rendered.split("\n---\n") if "/dashboards.yaml" not in part]
    return "\n---\n".join(_TESTED_ELSEWHERE.sub(r"\1  # see config/prometheus\n", part) for part in parts)


def main() -> None:
    """Write the copies, or the goldens."""
    if "--goldens" in sys.argv:
        GOLDENS.mkdir(exist_ok=True)
        for values in examples():
            name = values.name.replace("-values", "")
            (GOLDENS / name).write_text(golden(render("-f", values)), encoding="utf-8")
        return
    SCHEMA.write_text(schema(), encoding="utf-8")
    for path in [path for path in copies() if path not in sources()]:
        path.unlink()
    for copy, source in sources().items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())


if __name__ == "__main__":
    main()
