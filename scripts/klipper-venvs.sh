#!/bin/sh
# Real Moonraker and real Klippy for the tests, each in a virtual environment of its own (.venvs/moonraker, .venvs/klippy):
# their pins exclude each other. Kept between runs. Needs gcc and libusb-dev: Klippy compiles its helpers.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .venvs

# Klippy compiles c_helper.so where it is installed when it is first used: once, here, and not at each test's start.
warm_klippy() {
	"$1/bin/python" -c 'import importlib.util as u, sys
sys.path.insert(0, u.find_spec("klippy").submodule_search_locations[0])
import chelper
chelper.get_ffi()'
}

build() (
	venv=.venvs/$1
	lock=requirements/$1.lock
	want=$(cat "$lock" scripts/klipper-venvs.sh | sha256sum)
	[ "$(cat "$venv/.installed" 2>/dev/null)" = "$want" ] && exit 0
	printf 'Installing %s for the tests (about a minute, once)\n' "$1" >&2
	.venv/bin/python -m venv --clear "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
	[ "$1" != klippy ] || warm_klippy "$venv"
	printf '%s\n' "$want" >"$venv/.installed"
)

build moonraker &
moonraker=$!
build klippy
wait "$moonraker"
