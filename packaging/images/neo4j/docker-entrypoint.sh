#!/bin/bash
# Prepares what the environment asks for, then runs the command as user neo4j.
#
#   NEO4J_AUTH          none, or neo4j/PASSWORD: the first password of a new store;
#                       neo4j/PASSWORD/true: to be changed at the first login
#   NEO4J_AUTH_PATH     a file that holds the same
#   NEO4J_server_x__y   a setting, here server.x_y
#   NEO4J_SERIES        4.4, where settings and tools have other names; default: 5
#   /conf               its files replace those of the configuration
set -euo pipefail
command=${1:-neo4j}

case $command in
neo4j | neo4j-admin | cypher-shell) ;;
*) exec "$@" ;;
esac

# Root only hands the folders over, and then is user neo4j.
if [[ $(id -u) == 0 ]]; then
	for folder in /data /logs "$NEO4J_HOME"/{conf,run}; do
		find "$folder" ! -user neo4j -exec chown -h neo4j:neo4j {} +
	done
	exec setpriv --reuid=neo4j --regid=neo4j --init-groups --inh-caps=-all "$0" "$@"
fi

conf=$NEO4J_HOME/conf/neo4j.conf
server=server tx_log=db.tx_log admin=(neo4j-admin dbms)
if [[ ${NEO4J_SERIES:-5} == 4.4 ]]; then
	server=dbms tx_log=dbms.tx_log admin=(neo4j-admin)
fi

# set_to NAME VALUE: a setting; it replaces an earlier one, but for Java's flags,
# which add up.
set_to() {
	local name=$1 value=$2
	if [[ $name != "$server.jvm.additional" ]]; then
		sed -i "/^${name//./\\.}=/d" "$conf"
	fi
	printf '%s=%s\n' "$name" "${value//$'\n'/ }" >>"$conf"
}

configure() {
	: >"$conf" # a container that is started again begins anew
	if [[ -d /conf ]]; then
		cp -rL /conf/. "$NEO4J_HOME/conf/"
	fi
	set_default $server.default_listen_address 0.0.0.0
	# Without this a stop waits 10 s for clients that are gone.
	set_default internal.dbms.bolt.netty_server_shutdown_quiet_period 0
	set_default dbms.usage_report.enabled false # a private machine's use is its own business
	set_default $server.memory.pagecache.size 512M
	set_default $tx_log.rotation.retention_policy '100M size'
	set_default $server.directories.data /data
	set_default $server.directories.logs /logs
	[[ ! -d /plugins ]] || set_default $server.directories.plugins /plugins
	[[ ! -d /import ]] || set_default $server.directories.import /import
	local pair name
	while IFS= read -r -d '' pair; do
		name=${pair%%=*}
		[[ $name =~ ^NEO4J_[a-z] ]] || continue
		name=${name#NEO4J_}
		name=${name//__/$'\001'}
		name=${name//_/.}
		set_to "${name//$'\001'/_}" "${pair#*=}"
	done < <(env -0)
}

set_default() {
	grep -q "^${1//./\\.}=" "$conf" || set_to "$1" "$2"
}

# The password reaches the tool in a file: a command line can be read by others.
set_first_password() {
	local auth=${NEO4J_AUTH:-} user password change=()
	if [[ -n ${NEO4J_AUTH_PATH:-} ]]; then
		auth=$(<"$NEO4J_AUTH_PATH")
	fi
	unset NEO4J_AUTH
	case $auth in
	'') return ;;
	none)
		set_to dbms.security.auth_enabled false
		return
		;;
	neo4j/?*) ;;
	*)
		echo 'NEO4J_AUTH is neither none nor neo4j/PASSWORD' >&2
		exit 64
		;;
	esac
	[[ ! -e /data/databases/system ]] || return 0 # a store has its passwords already
	password=${auth#neo4j/}
	case $password in
	*/true) password=${password%/true} change=(--require-password-change) ;;
	*/false) password=${password%/false} ;;
	esac
	if ((${#password} < 8)); then
		echo 'NEO4J_AUTH: the password needs 8 characters at least' >&2
		exit 64
	fi
	local file
	file=$(mktemp)
	user=${password//\\/\\\\}
	printf '"%s"\n' "${user//\"/\\\"}" >"$file"
	"${admin[@]}" set-initial-password "${change[@]}" "@$file" >/dev/null || {
		rm -f "$file"
		exit 1
	}
	rm -f "$file"
}

configure
if [[ $command == neo4j ]]; then
	set_first_password
fi
exec "$@"
