#!/bin/bash
# Builds dist/towline_VERSION_ARCH.deb. make deb calls it with what it needs in the
# environment. The same commit gives the same bytes, wherever it is built.
#
# usage: build.sh ARCH
set -euo pipefail
arch=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
stage=$root/dist/stage-$arch
cd "$root"
rm -rf "$stage"
mkdir -p "$stage"/{bin,completion,man}
export CGO_ENABLED=0

date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)
ldflags="-s -w -buildid= -X towline/daemon/command.Version=$DEB_VERSION -X main.version=$DEB_VERSION"
GOARCH=$arch $GO build -trimpath -buildvcs=false -tags "$TAGS" -ldflags "$ldflags" -o "$stage/bin/" \
	./cmd/towlined ./cmd/towline-proxy ./cmd/towline-shell ./cmd/towline

$GO run -tags "$TAGS" ./cmd/internal/manual -version "$DEB_VERSION" -date "$date" "$stage/man"
for shell in bash zsh fish; do
	$GO run ./cmd/towline completion "$shell" >"$stage/completion/$shell"
done
cat >"$stage/changelog.Debian" <<CHANGELOG
towline ($DEB_VERSION) stable; urgency=medium

  * See /usr/share/doc/towline/changelog.gz.

 -- $MAINTAINER  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
gzip -9n <"$stage/changelog.Debian" >"$stage/man/changelog.Debian.gz"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

cd packaging/deb
sed "s|@ARCH@|$arch|; s|@VERSION@|$DEB_VERSION|; s|@STAGE@|$stage|; s|@MAINTAINER@|$MAINTAINER|" nfpm.yaml >"$stage/nfpm.yaml"
"$NFPM" package --config "$stage/nfpm.yaml" --packager deb --target "$root/dist/towline_${DEB_VERSION}_$arch.deb"
rm -rf "$stage"
