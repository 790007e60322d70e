# What the buildpacks have in common. Each sources it first.
set -euo pipefail
layers=$CNB_LAYERS_DIR

# The app's build settings, and the config vars.
for file in "$CNB_PLATFORM_DIR"/env/*; do
	[[ -f $file ]] && export "$(basename "$file")=$(<"$file")"
done

# Settings of the machine that made the builder image, as far as the app has none: its registries.
if [[ -f $CNB_BUILDPACK_DIR/settings ]]; then
	while IFS='=' read -r name value; do
		[[ -n ${!name:-} ]] || export "$name=$value"
	done <"$CNB_BUILDPACK_DIR/settings"
fi

stage() { echo "-----> $*"; }
note() { echo "       $*"; }

# fail WHY [REMEDY]: one line, which the push ends with.
fail() {
	echo " !     $1${2:+; $2}" >&2
	exit 1
}

fetch() {
	curl -fsSL --retry 3 --connect-timeout 10 --max-time 300 "$@"
}

# layer NAME TYPE...: a folder of the build, of the image (launch), or of the cache.
layer() {
	local name=$1 type
	shift
	mkdir -p "$layers/$name"
	{
		echo '[types]'
		for type in "$@"; do echo "$type = true"; done
	} >"$layers/$name.toml"
}

# describe NAME KEY=VALUE...: what is to be known of a cached layer at the next build.
describe() {
	local name=$1 pair
	shift
	echo '[metadata]' >>"$layers/$name.toml"
	for pair; do printf '%s = "%s"\n' "${pair%%=*}" "${pair#*=}" >>"$layers/$name.toml"; done
}

# described NAME KEY: what the build before has said of a layer.
described() {
	sed -n "s/^ *$2 = \"\(.*\)\"/\1/p" "$layers/$1.toml" 2>/dev/null || true
}

# defaults NAME=VALUE...: environment variables of the app's processes, unless it sets them.
defaults() {
	local pair
	layer env launch
	mkdir -p "$layers/env/env.launch"
	for pair; do printf %s "${pair#*=}" >"$layers/env/env.launch/${pair%%=*}.default"; done
}

# web COMMAND: what the app's web process is, unless a Procfile says so; a line for a shell.
web() {
	[[ ! -f Procfile ]] || return 0
	note "web: $1"
	{
		printf '[[processes]]\ntype = "web"\ndefault = true\n'
		# A JSON string is a TOML string too.
		printf 'command = ["bash", "-c", %s]\n' "$(jq -n --arg command "$1" '$command')"
	} >"$layers/launch.toml"
}
