#!/bin/sh
# Cura's definitions, without which CuraEngine cannot be told anything: taken out of Debian's package cura, which is not installed.
# `scripts/cura-definitions.sh [FOLDER]`; left out: /usr/local/share/intagly-agent/cura, where the agent looks by itself.
set -eu
to=${1:-/usr/local/share/intagly-agent/cura}
[ -f "$to/copyright" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

download() { (cd "$work" && apt-get download -q cura) >"$work/apt.log" 2>&1; }

if ! download; then # the list of packages may be missing, as in images of containers
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
    download || { cat "$work/apt.log" >&2; exit 1; }
fi
dpkg-deb -x "$work"/cura_*.deb "$work/cura"
mkdir -p "$to"
cp -R "$work/cura/usr/share/cura/resources/definitions" "$work/cura/usr/share/cura/resources/extruders" "$to"
cp "$work/cura/usr/share/doc/cura/copyright" "$to" # last: it marks the rest as complete
