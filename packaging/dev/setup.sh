#!/bin/bash
# Makes a Debian 12 machine ready for Towline's tests and demo: packages, the
# account that sshd logs in, Podman's API socket. Run as root, as often as you
# like: it does what is missing and says each thing it does.
#
# usage: setup.sh [--check] [--appliance] [--appliance-vm] [--browser] [--grpc]
#   --check    change nothing; say what is missing, exit 1 if anything is
#   --appliance  have what boots Debian in a system container, and lintian
#   --appliance-vm  have what boots it in a virtual machine, and lintian
#   --browser  have a browser too, for the longest tests
#   --grpc     have Python with gRPC too, for the proxy's tests with C-core
set -euo pipefail

# Each line: a package, then a file of it. Looking for the file is a hundred
# times quicker than asking dpkg, and finds tools that came another way.
packages='
aardvark-dns /usr/lib/podman/aardvark-dns
btrfs-progs /sbin/mkfs.btrfs
ca-certificates /etc/ssl/certs/ca-certificates.crt
catatonit /usr/bin/catatonit
crun /usr/bin/crun
curl /usr/bin/curl
debootstrap /usr/sbin/debootstrap
fuse-overlayfs /usr/bin/fuse-overlayfs
git /usr/bin/git
iptables /usr/sbin/iptables
jq /usr/bin/jq
netavark /usr/lib/podman/netavark
nftables /usr/sbin/nft
openssh-client /usr/bin/ssh
openssh-server /usr/sbin/sshd
podman /usr/bin/podman
redis-tools /usr/bin/redis-cli
restic /usr/bin/restic
runc /usr/sbin/runc
uidmap /usr/bin/newuidmap
xfsprogs /sbin/mkfs.xfs
zstd /usr/bin/zstd
'
account=towline
home=/var/lib/towline-user
socket=/run/podman/podman.sock
containers_conf=/etc/containers/containers.conf.d/10-towline-test.conf

grpc=/var/cache/towline/grpcio # proxy/grpc_core_test.go looks there
grpcio=1.85.3

check=0
missing=0
with_grpc=0

main() {
	local flag
	for flag in "$@"; do
		case $flag in
		--check) check=1 ;;
		--browser) packages+=$'chromium /usr/bin/chromium\n' ;;
		--appliance) packages+=$'lintian /usr/bin/lintian\nsystemd-container /usr/bin/systemd-nspawn\n' ;;
		--appliance-vm) packages+=$'e2fsprogs /sbin/mkfs.ext4\nlintian /usr/bin/lintian\nqemu-system-x86 /usr/bin/qemu-system-x86_64\n' ;;
		--grpc)
			with_grpc=1
			packages+=$'python3-venv /usr/lib/python3.11/ensurepip\n'
			;;
		*)
			echo "usage: $0 [--check] [--appliance] [--appliance-vm] [--browser] [--grpc]" >&2
			exit 2
			;;
		esac
	done
	if [[ $EUID -ne 0 ]]; then
		echo "setup.sh: needs root: it installs packages and starts Podman" >&2
		exit 1
	fi
	setup_packages
	setup_containers_conf
	setup_account
	setup_sshd
	setup_podman
	if ((with_grpc)); then
		setup_grpc
	fi
	if ((check)); then
		exit "$missing"
	fi
}

# grpcio is gRPC's C library for Python, which Debian 12 has not. A virtual environment
# that is whole can import it.
setup_grpc() {
	[[ $("$grpc/bin/python" -c 'import grpc; print(grpc.__version__)' 2>/dev/null) == "$grpcio" ]] && return 0
	todo "$grpc, with grpcio $grpcio from PyPI" || return 0
	mkdir -p "${grpc%/*}"
	/usr/bin/python3 -m venv --clear "$grpc"
	"$grpc/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "grpcio==$grpcio"
}

# todo SENTENCE: says what is about to be done; false under --check, where it
# is only noted as missing.
todo() {
	if ((check)); then
		echo "missing: $1"
		missing=1
		return 1
	fi
	echo "setup: $1"
}

setup_packages() {
	local want=() name file
	while read -r name file; do
		[[ -n $name && ! -e $file ]] && want+=("$name")
	done <<<"$packages"
	((${#want[@]})) || return 0
	todo "packages ${want[*]}" || return 0
	local apt=(apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
	export DEBIAN_FRONTEND=noninteractive
	"${apt[@]}" update
	# Neither sshd nor Podman's units are to be started by their installation:
	# the tests start what they need themselves.
	local policy=/usr/sbin/policy-rc.d made=0
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		made=1
	fi
	local ok=0
	"${apt[@]}" install -y --no-install-recommends "${want[@]}" >/dev/null || ok=$?
	if ((made)); then
		rm -f "$policy"
	fi
	return "$ok"
}

# Some machines that tests run on may not raise limits (no CAP_SYS_RESOURCE) or
# have cgroup v1 and v2 side by side; there Podman's defaults fail. A user's
# machine needs none of this.
setup_containers_conf() {
	may_raise_limits && has_one_cgroup_tree && return 0
	local want
	want=$(
		cat <<-'CONF'
			[containers]
			default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
			[engine]
			cgroup_manager = "cgroupfs"
			runtime = "runc"
			[network]
			network_backend = "netavark"
		CONF
	)
	[[ -e $containers_conf && $(<"$containers_conf") == "$want" ]] && return 0
	todo "$containers_conf, as this machine cannot raise limits or has two cgroup trees" || return 0
	mkdir -p "${containers_conf%/*}"
	printf '%s\n' "$want" >"$containers_conf"
}

may_raise_limits() {
	local key value
	while read -r key value; do
		if [[ $key == CapEff: ]]; then
			(((16#$value >> 24) & 1)) # bit 24 is CAP_SYS_RESOURCE
			return
		fi
	done </proc/self/status
	return 1
}

has_one_cgroup_tree() {
	[[ -e /sys/fs/cgroup/cgroup.controllers ]]
}

# The account that users' keys log in to. Its password is '*', which no password
# matches; '!' would make sshd refuse its keys too. Its home is empty and root's:
# without one, sshd complains to every user who logs in.
setup_account() {
	if ! grep -q "^$account:" /etc/passwd; then
		todo "system account $account" || return 0
		useradd --system --user-group --password '*' --no-create-home \
			--home-dir "$home" --shell /bin/sh "$account"
	fi
	[[ -d $home ]] && return 0
	todo "$home" || return 0
	mkdir -p -m 755 "$home"
}

setup_sshd() {
	[[ -d /run/sshd ]] && return 0
	todo "/run/sshd" || return 0
	mkdir -p -m 755 /run/sshd
}

# With systemd, Podman's own socket unit does this.
setup_podman() {
	podman_answers && return 0
	if [[ -d /run/systemd/system ]]; then
		todo "podman.socket" || return 0
		systemctl enable --now podman.socket
	else
		todo "podman system service on $socket" || return 0
		mkdir -p "${socket%/*}"
		rm -f "$socket"
		# Below its own directory: conmon leaves a file "oom" where it was started.
		(cd "${socket%/*}" && exec setsid -f podman system service --time=0 "unix://$socket" \
			</dev/null >/var/log/towline-podman.log 2>&1)
	fi
	local tries=0
	until podman_answers; do
		if ((++tries > 500)); then
			echo "setup.sh: podman does not answer on $socket: see /var/log/towline-podman.log" >&2
			exit 1
		fi
		sleep 0.02
	done
}

podman_answers() {
	[[ -S $socket ]] && curl -sf -o /dev/null --max-time 5 --unix-socket "$socket" http://podman/v4.0.0/libpod/_ping
}

main "$@"
