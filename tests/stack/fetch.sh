#!/usr/bin/env bash
# Fetch the real servers at once. A part that cannot be had is named with the reason, and its tests skip; with
# CI=true that is a failure.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$root/tests/stack
mkdir -p "$cache"

parts=(install-elasticsearch build-collector install-kql install-axe)
declare -A pids
for part in "${parts[@]}"; do
  # The tests that run meanwhile come first.
  nice -n 5 "$here/$part.sh" >"$cache/$part.log" 2>&1 &
  pids[$part]=$!
done

failed=0
for part in "${parts[@]}"; do
  if wait "${pids[$part]}"; then
    echo "stack: $part: there"
  else
    failed=1
    echo "stack: $part: failed, so its tests skip; the end of $cache/$part.log:"
    tail -n 5 "$cache/$part.log"
  fi
done
[ "$failed" = 0 ] || [ "${CI:-}" != true ]
