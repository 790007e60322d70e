#!/bin/bash
# Creates the cluster when the data folder has none, then runs the command.
#
#   POSTGRES_PASSWORD, POSTGRES_USER (postgres), POSTGRES_DB (the user's name),
#   POSTGRES_INITDB_ARGS, and each with _FILE appended: a file that holds it
#   POSTGRES_HOST_AUTH_METHOD (scram-sha-256; trust allows an empty password)
#   /docker-entrypoint-initdb.d: *.sql, *.sql.gz and *.sh, run once, in order
set -euo pipefail

# from_file NAME DEFAULT: sets NAME from the file that NAME_FILE names.
from_file() {
	local file=$1_FILE
	if [[ -n ${!1:-} && -n ${!file:-} ]]; then
		echo "both $1 and $file are set: set one" >&2
		exit 64
	fi
	if [[ -n ${!file:-} ]]; then
		printf -v "$1" %s "$(<"${!file}")"
	elif [[ -z ${!1:-} ]]; then
		printf -v "$1" %s "$2"
	fi
	unset "$file"
}

create_cluster() {
	from_file POSTGRES_PASSWORD ''
	from_file POSTGRES_USER postgres
	from_file POSTGRES_DB "$POSTGRES_USER"
	from_file POSTGRES_INITDB_ARGS ''
	local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [[ -z $POSTGRES_PASSWORD && $method != trust ]]; then
		echo 'POSTGRES_PASSWORD is not set: the new cluster would have no password' >&2
		exit 64
	fi
	# eval, for the quotes that POSTGRES_INITDB_ARGS may hold. An empty line is no password.
	eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$POSTGRES_PASSWORD\") $POSTGRES_INITDB_ARGS"
	printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

	# Only this container reaches the server until it is complete.
	export PGPASSWORD=$POSTGRES_PASSWORD PGUSER=$POSTGRES_USER
	pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
	if [[ $POSTGRES_DB != postgres ]]; then
		psql -v ON_ERROR_STOP=1 --no-psqlrc -d postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
	fi
	export PGDATABASE=$POSTGRES_DB
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sh) if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
		*.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -f "$file" ;;
		*.sql.gz) gunzip -c "$file" | psql -v ON_ERROR_STOP=1 --no-psqlrc ;;
		esac
	done
	pg_ctl -D "$PGDATA" -m fast -w stop
	unset PGPASSWORD PGUSER PGDATABASE
}

case ${1:-} in
-*) set -- postgres "$@" ;;
esac
if [[ ${1:-} != postgres ]]; then
	exec "$@"
fi
for argument in "$@"; do
	case $argument in --help | --version | -V | -\? | --describe-config) exec "$@" ;; esac
done

# Root only hands the data over, and then is user postgres.
if [[ $(id -u) == 0 ]]; then
	mkdir -p "$PGDATA"
	chmod 700 "$PGDATA"
	find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown -h postgres {} +
	exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all "$0" "$@"
fi

if [[ ! -s $PGDATA/PG_VERSION ]]; then
	create_cluster
fi
unset POSTGRES_PASSWORD
exec "$@"
