#!/usr/bin/env bash
# Resolve the dependencies of pyproject.toml and write the lock files: every version, every hash, for every
# platform and Python that the project runs on, and no address.
# What is locked stays as it is where it still fits; `tools/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links "$@"
}
compile "$@" pyproject.toml --output-file requirements.lock
compile "$@" pyproject.toml --group dev --output-file requirements-dev.lock
# What builds the wheel inside the container image.
echo 'hatchling>=1.27,<2' | compile "$@" --no-annotate - --output-file requirements-build.lock
compile "$@" --no-annotate --no-deps tests/stack/elasticsearch8.in --output-file tests/stack/elasticsearch8.lock
