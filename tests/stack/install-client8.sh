#!/usr/bin/env bash
# Install the older major of the Elasticsearch client beside the project's: a PYTHONPATH of .cache/es8 selects it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
target=$root/.cache/es8
lock=$root/tests/stack/elasticsearch8.lock
cmp -s "$lock" "$target/.complete" && exit 0
rm -rf "$target"
"$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
  --target "$target" -r "$lock"
cp "$lock" "$target/.complete"
