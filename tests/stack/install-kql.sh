#!/usr/bin/env bash
# Install Kibana's parser of KQL into the project's cache, by npm from the lock file. About 10 s, 30 MB.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$root/tests/stack/kql
target=$cache/kql
# The stamp is what was asked for: another lock file, or another converter, installs anew.
stamp=$(cat "$here/package-lock.json" "$here/convert.js" | cksum)
[ "$(cat "$target/.complete" 2>/dev/null)" = "$stamp" ] && exit 0

need node "install Node.js 18 or newer (apt-get install nodejs npm)"
need npm "install npm (apt-get install npm)"
rm -rf "$target"
mkdir -p "$target"
cp "$here"/{package.json,package-lock.json,.npmrc,convert.js} "$target"
cd "$target"
npm ci --cache "$target/.npm" --loglevel error
rm -rf "$target/.npm"
echo "$stamp" > "$target/.complete"
