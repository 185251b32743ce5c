#!/usr/bin/env bash
# Build a reader of Okta's own Go client, by which Okta's Terraform provider reads too, into the project's cache. About
# 2 min with empty caches on two cores, so `make stack` leaves it out: tests/e2e/test_okta_go.py runs where it was built.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
version=v5.0.2
here=$root/tests/stack/okta-go
target=$cache/okta-go
stamp="$version $(cksum < "$here/main.go")"
[ "$(cat "$target/.complete" 2>/dev/null)" = "$stamp" ] && exit 0

need go "install Go 1.23 or newer (go.dev)"
rm -rf "$target"
mkdir -p "$target/source" "$target/tmp"
export GOPATH=$target/go/path GOCACHE=$target/go/build GOMODCACHE=$target/go/modules GOTMPDIR=$target/tmp
# Without -modcacherw the module cache is read-only, and `rm -rf .cache` fails.
export GOFLAGS='-modcacherw -buildvcs=false -trimpath -mod=mod' CGO_ENABLED=0
cp "$here/main.go" "$target/source"
cd "$target/source"
go mod init readback
go get "github.com/okta/okta-sdk-golang/v5@$version"
go build -o "$target/readback" .
# The sources and the compiled packages are 1 GB and more, and only a new version would need them again.
rm -rf "$target/go" "$target/tmp" "$target/source"
echo "$stamp" > "$target/.complete"
