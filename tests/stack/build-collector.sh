#!/usr/bin/env bash
# Build a real OpenTelemetry Collector into the project's cache. Go's own caches lie there too, so that nothing
# outside the checkout is touched. About 110 s with empty caches on two cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
version=v0.161.0
here=$root/tests/stack
binary=$cache/otelcol-test
# The stamp is what was asked for: another version or another list of parts builds anew.
stamp="$version $(cksum < "$here/collector-builder.yaml")"
[ "$(cat "$cache/otelcol-test.complete" 2>/dev/null)" = "$stamp" ] && exit 0

need go "install Go 1.24 or newer (go.dev)"
go=$cache/go
export GOPATH=$go/path GOBIN=$go/bin GOCACHE=$go/build GOMODCACHE=$go/modules
# Without -modcacherw the module cache is read-only, and `rm -rf .cache` fails.
export GOFLAGS='-modcacherw -buildvcs=false -trimpath' CGO_ENABLED=0
mkdir -p "$go/tmp"
export GOTMPDIR=$go/tmp
cd "$go" # outside of any module
go install "go.opentelemetry.io/collector/cmd/builder@$version"
rm -rf "$go/source"
mkdir "$go/source"
# The builder takes output_path from its file only; the copy gets one inside the cache.
sed "s|^dist:|dist:\n  output_path: $go/source|" "$here/collector-builder.yaml" > "$go/builder.yaml"
"$GOBIN/builder" --config "$go/builder.yaml"
mv "$go/source/otelcol-test" "$binary"
echo "$stamp" > "$cache/otelcol-test.complete"
# The sources and the compiled packages are 1 GB and more, and only a new version would need them again.
rm -rf "$go"
