#!/bin/bash
# Run once while the image is built: starts the server, its shell and its
# administration tool, so that Java leaves an archive of the classes that each
# loaded. It halves the time of every start.
set -euo pipefail
mkdir -p "$NEO4J_HOME"/{conf,run,plugins,import} /data /logs
ln -s /data "$NEO4J_HOME/data"
ln -s /logs "$NEO4J_HOME/logs"
chown -R neo4j:neo4j "$NEO4J_HOME"/{conf,run,plugins,import} /data /logs
install -d -o neo4j /tmp/warm

# Java writes what a command line names; nobody else's flag is to be in the way.
NEO4J_AUTH=neo4j/warmingup NEO4J_server_memory_heap_max__size=512M NEO4J_server_memory_pagecache_size=64M \
	NEO4J_server_jvm_additional=-XX:ArchiveClassesAtExit=/tmp/warm/server.jsa \
	/startup/docker-entrypoint.sh neo4j >/tmp/warm/log 2>&1 &
server=$!
export NEO4J_USERNAME=neo4j NEO4J_PASSWORD=warmingup
tries=0
until cypher-shell 'RETURN 1' >/dev/null 2>&1; do
	if ! kill -0 "$server" || ((++tries > 60)); then
		cat /tmp/warm/log >&2
		exit 1
	fi
done
archive() { # NAME COMMAND...
	local name=$1
	shift
	JAVA_TOOL_OPTIONS=-XX:ArchiveClassesAtExit=/tmp/warm/$name.jsa "$@" >/tmp/warm/said 2>&1 || {
		cat /tmp/warm/said >&2
		exit 1
	}
}
archive shell cypher-shell "CREATE (n:Warm {name: 'x'}) RETURN n; MATCH (n:Warm) DETACH DELETE n;"
kill -TERM "$server"
wait "$server" || true
archive admin neo4j-admin database dump neo4j --to-path=/tmp/warm
for name in server shell admin; do
	[[ -s /tmp/warm/$name.jsa ]] || {
		cat /tmp/warm/log >&2
		exit 1
	}
	install -m 644 "/tmp/warm/$name.jsa" "$NEO4J_HOME/$name.jsa"
done
rm -rf /tmp/warm /tmp/hsperfdata_* /data/* /data/.??* /logs/* "$NEO4J_HOME"/conf/* "$NEO4J_HOME"/run/*
