#!/bin/bash
# Builds the images that Towline runs on a machine without a container registry,
# from Debian's packages and the language registries this machine is set up for.
# Each has the interface of the registry's image of the same purpose.
#
# usage: build.sh [--pull] [--force] [--list] [IMAGE...]
#   IMAGE    a folder beside this script, e.g. redis; default: all that the tests
#            of every change need, in order. What an image is built from is built first.
#   --pull   take the registry's own image instead where one answers; it gets
#            the local name, and counts as up to date while this flag is given
#   --force  build even if nothing changed, e.g. for Debian's security fixes
#   --list   say what is up to date and what is not; change nothing
#
# An image is rebuilt when its folder, or an image it is built from, changed: a
# hash of both is its label towline.inputs. A copy of each is kept under
# $TOWLINE_CACHE (default /var/cache/towline/images), so that a machine whose
# Podman storage was wiped has them back in seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TOWLINE_CACHE:-/var/cache/towline/images}

# folder, local name, and the registry's image of the same interface if any
images='
debian    localhost/debian:bookworm                docker.io/library/debian:bookworm
testapp   localhost/towline/testapp:1
redis     localhost/towline/redis:7                docker.io/library/redis:7
run       localhost/towline/run:12
build     localhost/towline/build:12
lifecycle localhost/towline/lifecycle:0.20.11      docker.io/buildpacksio/lifecycle:0.20.11
builder   localhost/towline/builder:12
buildah   localhost/towline/buildah:12
neo4j     localhost/towline/neo4j:5.26-community   docker.io/library/neo4j:5.26-community
postgres  localhost/towline/postgres:15            docker.io/library/postgres:15
'
# Built only when named: the longest tests need them.
more='
neo4j-4.4 localhost/towline/neo4j:4.4-community    docker.io/library/neo4j:4.4-community
'
declare -a order=()
declare -A ref=() upstream=() hash=() done_=()
pull=0 force=0 list=0

main() {
	read_images "$images"
	local name usual=("${order[@]}") wanted=()
	read_images "$more"
	while (($#)); do
		case $1 in
		--pull) pull=1 ;;
		--force) force=1 ;;
		--list) list=1 ;;
		-*) fail "unknown flag $1: see the head of $0" ;;
		*)
			[[ -n ${ref[$1]:-} ]] || fail "no image $1: there are ${order[*]}"
			wanted+=("$1")
			;;
		esac
		shift
	done
	((${#wanted[@]})) || wanted=("${usual[@]}")
	for name in "${order[@]}"; do
		hash[$name]=$(inputs "$name")
	done
	if ((list)); then
		for name in "${wanted[@]}"; do
			if present "$name"; then echo "$name: ${ref[$name]} is up to date"; else echo "$name: ${ref[$name]} is to be built"; fi
		done
		return
	fi
	if ((!force && !pull)) && all_present "${wanted[@]}"; then
		return 0
	fi
	mkdir -p "$cache"
	exec 9>"$cache/.lock"
	flock 9 # two builds at once would do the same work twice
	for name in "${wanted[@]}"; do
		ensure "$name"
	done
	sweep_cache
}

read_images() {
	local name local_ref registry_ref
	while read -r name local_ref registry_ref; do
		[[ -n $name ]] || continue
		order+=("$name")
		ref[$name]=$local_ref
		upstream[$name]=$registry_ref
	done <<<"$1"
}

fail() {
	echo "build.sh: $1" >&2
	exit 2
}

say() { printf '%-10s %s\n' "$1" "$2"; }

all_present() {
	local name
	for name in "$@"; do present "$name" || return 1; done
}

# ensure NAME: the image and those it is built from are there.
ensure() {
	local name=$1 from start=$SECONDS
	[[ -z ${done_[$name]:-} ]] || return 0
	done_[$name]=1
	if ((!force)) && present "$name"; then return 0; fi
	if ((pull)) && pull_upstream "$name"; then
		say "$name" "pulled ${upstream[$name]} as ${ref[$name]}"
		return 0
	fi
	if ((!force)) && restore "$name"; then
		say "$name" "restored ${ref[$name]} from $cache in $((SECONDS - start)) s"
		return 0
	fi
	for from in $(parents "$name"); do
		ensure "$from"
	done
	start=$SECONDS
	say "$name" "building ${ref[$name]}"
	build "$name"
	keep "$name"
	say "$name" "built ${ref[$name]} in $((SECONDS - start)) s"
}

# parents NAME: the folders of the images that its Containerfile builds on.
parents() {
	local line name
	while read -r line; do
		for name in "${order[@]}"; do
			[[ $line == "${ref[$name]}" ]] && echo "$name"
		done
	done < <(sed -nE 's/^FROM ([^ ]+).*/\1/p; s/^COPY --from=([^ ]+) .*/\1/p' "$here/$1/Containerfile")
	return 0
}

# inputs NAME: the hash of all that the image is made from.
inputs() {
	local name=$1 from
	{
		(cd "$here/$name" && find . -type f -printf '%m %p\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
		for from in $(parents "$name"); do
			echo "$from ${hash[$from]:-$(inputs "$from")}"
		done
	} | sha256sum | cut -d' ' -f1
}

present() {
	local have
	have=$(podman image inspect -f '{{index .Labels "towline.inputs"}}' "${ref[$1]}" 2>/dev/null) || return 1
	[[ $have == "${hash[$1]}" ]] && return 0
	((pull)) && [[ -n ${upstream[$1]} ]] && podman image exists "${upstream[$1]}"
}

# pull_upstream NAME: false where no registry answers within 3 s.
pull_upstream() {
	local from=${upstream[$1]}
	[[ -n $from ]] || return 1
	curl -s -o /dev/null --connect-timeout 3 --max-time 5 "https://${from%%/*}/v2/" || return 1
	podman pull -q "$from" >/dev/null && podman tag "$from" "${ref[$1]}"
}

# build NAME: its folder is the build context; an executable `prepare` in it is
# run first, in a copy of the folder, to put there what needs the host's tools.
build() {
	local name=$1 stage old status=0
	old=$(podman image inspect -f '{{.Id}}' "${ref[$name]}" 2>/dev/null) || old=
	stage=$(mktemp -d "${TMPDIR:-/var/tmp}/towline-image.XXXXXX")
	cp -a "$here/$name/." "$stage/"
	{
		if [[ -x $stage/prepare ]]; then (cd "$stage" && IMAGES=$here ./prepare); fi &&
			podman build -q --network=host --squash --format oci \
				--label "towline.inputs=${hash[$name]}" --label "org.opencontainers.image.title=${ref[$name]}" \
				-t "${ref[$name]}" "$stage" >/dev/null
	} || status=$?
	rm -rf "$stage"
	((status == 0)) || return "$status"
	# The image it replaces goes, unless something uses it or it has another name.
	if [[ -n $old && $(podman image inspect -f '{{len .RepoTags}}' "$old" 2>/dev/null) == 0 ]]; then
		podman rmi "$old" >/dev/null 2>&1 || true
	fi
}

# The cache is one OCI layout: images that share layers share them there too.
keep() {
	forget "$1"
	podman push -q --compression-format zstd "${ref[$1]}" "oci:$cache:$1-${hash[$1]}"
}

restore() {
	[[ -e $cache/index.json ]] || return 1
	cached_names | grep -qx "$1-${hash[$1]}" || return 1
	local id
	id=$(podman pull -q "oci:$cache:$1-${hash[$1]}") && podman tag "$id" "${ref[$1]}" || return 1
	podman untag "$id" "localhost$cache:latest" 2>/dev/null || true # the name that the pull gave it
	present "$1"
}

cached_names() {
	jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]' "$cache/index.json"
}

# forget NAME: drops all cached versions of an image.
forget() {
	[[ -e $cache/index.json ]] || return 0
	jq -c --arg name "$1" '.manifests |= map(select(.annotations["org.opencontainers.image.ref.name"] | test("^" + $name + "-[0-9a-f]{64}$") | not))' \
		"$cache/index.json" >"$cache/index.json.new"
	mv "$cache/index.json.new" "$cache/index.json"
}

# sweep_cache removes the blobs that no cached image uses.
sweep_cache() {
	[[ -e $cache/index.json ]] || return 0
	local manifest blob
	declare -A used=()
	while read -r manifest; do
		used[$manifest]=1
		while read -r blob; do
			used[$blob]=1
		done < <(jq -r '.config.digest, .layers[].digest | ltrimstr("sha256:")' "$cache/blobs/sha256/$manifest")
	done < <(jq -r '.manifests[].digest | ltrimstr("sha256:")' "$cache/index.json")
	for blob in "$cache"/blobs/sha256/*; do
		[[ -n ${used[${blob##*/}]:-} ]] || rm -f "$blob"
	done
}

main "$@"
