#!/usr/bin/env bash
# start-elasticsearch.sh PORT DATA_DIR [-E key=value ...]
# Run Elasticsearch in the foreground on 127.0.0.1:PORT. All that it writes stays below DATA_DIR, and what
# already lies in DATA_DIR/config (users, roles) is kept.
#   ES_JAVA_HOME  a JDK of version 21 or newer (default: the newest that is found)
#   ES_HEAP       size of the heap (default 512m)
# Started in a session of its own, the launcher and the server are one process group: killing the group is a crash.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
port=$1
mkdir -p "$2"
data=$(cd "$2" && pwd)
shift 2

export ES_HOME=$cache/elasticsearch ES_DISTRIBUTION_TYPE=zip JAVA_TYPE=ES_JAVA_HOME
[ -e "$ES_HOME/.complete" ] || { echo "Elasticsearch is not installed: make stack" >&2; exit 3; }
ES_JAVA_HOME=$(find_java)
export ES_JAVA_HOME JAVA=$ES_JAVA_HOME/bin/java
export ES_PATH_CONF=$data/config ES_TMPDIR=$data/tmp

mkdir -p "$ES_PATH_CONF" "$ES_TMPDIR"
if [ ! -e "$ES_PATH_CONF/jvm.options" ]; then
  cp -n "$ES_HOME"/config/{log4j2.properties,role_mapping.yml,roles.yml,users,users_roles} "$ES_PATH_CONF"
  printf '%s\n' "node.name: test" "discovery.type: single-node" "network.host: 127.0.0.1" \
    "transport.port: 0" "path.data: $data/data" "path.logs: $data/logs" \
    "cluster.routing.allocation.disk.threshold_enabled: false" \
    "xpack.security.http.ssl.enabled: false" \
    "xpack.security.transport.ssl.enabled: false" > "$ES_PATH_CONF/elasticsearch.yml"
  printf '%s\n' -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Djava.io.tmpdir=$ES_TMPDIR" \
    --add-modules=jdk.incubator.vector -XX:+ExitOnOutOfMemoryError > "$ES_PATH_CONF/jvm.options"
fi
heap=${ES_HEAP:-512m}
export ES_JAVA_OPTS="-Xms$heap -Xmx$heap -XX:-AlwaysPreTouch"
# The command that starts the server is a JVM too, which lives for seconds.
export CLI_JAVA_OPTS="-XX:+UseSerialGC -XX:TieredStopAtLevel=1"

# Elasticsearch refuses to run as root: a user namespace shows it another user id.
as_user=()
[ "$(id -u)" != 0 ] || as_user=(unshare --user --map-user=1000 --map-group=1000)

cd "$ES_HOME"
exec ${as_user[@]+"${as_user[@]}"} "$JAVA" -Xms4m -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -cp "lib/tools/server-launcher/*" org.elasticsearch.server.launcher.ServerLauncher \
  -E http.port="$port" "$@"
