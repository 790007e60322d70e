#!/bin/sh
# Arguments: a command, or redis-server's own (a flag, or a configuration file).
set -e
case ${1:-} in
-* | *.conf) set -- redis-server "$@" ;;
esac

# Root only makes the data its user's, and then is that user.
if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
	find . ! -user redis -exec chown -h redis {} +
	exec setpriv --reuid=redis --regid=redis --init-groups --inh-caps=-all "$0" "$@"
fi

# Files that hold data or passwords are nobody else's to read.
if [ "$(umask)" = 0022 ]; then
	umask 0077
fi

# Protected mode refuses clients from other containers when there is no password;
# who can reach the port is for the network to say. A configuration file, or an
# argument, that sets it wins.
if [ "${1:-}" = redis-server ]; then
	shift
	case ${1:-} in
	-v | --version | -h | --help | --test-memory | --check-system) ;;
	-* | '') set -- --protected-mode no "$@" ;;
	*)
		if ! grep -q '^ *protected-mode' "$1"; then
			file=$1
			shift
			set -- "$file" --protected-mode no "$@"
		fi
		;;
	esac
	set -- redis-server "$@"
fi
exec "$@"
