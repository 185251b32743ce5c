# Sourced by the scripts beside it: where the real parts lie, and what to say when a tool is missing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${FORWARDER_STACK_CACHE:-$root/.cache/stack}

# need COMMAND HINT: stop with exit code 3 when COMMAND is not on the path.
need() {
  command -v "$1" >/dev/null && return
  echo "$1 is missing: $2" >&2
  exit 3
}

# find_java: print the home of the newest JDK of version 21 or newer, or stop with exit code 3.
find_java() {
  local home version newest='' newest_version=20
  for home in ${ES_JAVA_HOME:+"$ES_JAVA_HOME"} ${JAVA_HOME:+"$JAVA_HOME"} /usr/lib/jvm/* /opt/java/*; do
    [ -x "$home/bin/java" ] && [ -r "$home/release" ] || continue
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release")
    if [ "${version:-0}" -gt "$newest_version" ]; then newest=$home newest_version=$version; fi
  done
  if [ -z "$newest" ]; then
    echo "a JDK of version 21 or newer is missing: install one (Temurin, for example), and set ES_JAVA_HOME to it" >&2
    exit 3
  fi
  echo "$newest"
}
