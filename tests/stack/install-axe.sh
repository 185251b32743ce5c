#!/usr/bin/env bash
# Install axe-core into the project's cache, by npm from the lock file: it finds faults of accessibility. About 5 s, 3 MB.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$root/tests/stack/axe
target=$cache/axe
# The stamp is what was asked for: another lock file installs anew.
stamp=$(cat "$here/package-lock.json" | cksum)
[ "$(cat "$target/.complete" 2>/dev/null)" = "$stamp" ] && exit 0

need node "install Node.js 18 or newer (apt-get install nodejs npm)"
need npm "install npm (apt-get install npm)"
rm -rf "$target"
mkdir -p "$target"
cp "$here"/{package.json,package-lock.json,.npmrc} "$target"
cd "$target"
npm ci --cache "$target/.npm" --loglevel error
rm -rf "$target/.npm"
echo "$stamp" > "$target/.complete"
