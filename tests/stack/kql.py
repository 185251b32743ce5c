"""KQL as Kibana reads it: its own parser, run by Node.js."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.stack.process import CACHE, StackError

_FOLDER = CACHE / "kql"


def missing() -> str | None:
    """Say what keeps KQL from being converted and how to get it, or None."""
    if (_FOLDER / ".complete").exists() and shutil.which("node"):
        return None
    return "needs Kibana's parser of KQL: run `make stack`, which needs Node.js 18 or newer with npm"


def query_dsl(queries: Sequence[str]) -> list[dict[str, Any]]:
    """The query DSL of each KQL query, as Kibana would send it.

    Raises:
        StackError: one of them is no KQL.
    """
    done = subprocess.run(
        ["node", str(_FOLDER / "convert.js")],
        input=json.dumps(list(queries)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise StackError(f"convert.js ended with {done.returncode}: {done.stderr[-500:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    faults = [f"{query}: {dsl['error']}" for query, dsl in zip(queries, found, strict=True) if "error" in dsl]
    if faults:
        raise StackError("\n".join(faults))
    return found
