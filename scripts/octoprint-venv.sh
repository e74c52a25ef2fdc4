#!/bin/sh
# A real OctoPrint for the tests, in a virtual environment of its own (.venvs/octoprint). Kept between runs.
set -eu
cd "$(dirname "$0")/.."
venv=.venvs/octoprint
lock=requirements/octoprint.lock
want=$(sha256sum <"$lock")
[ "$(cat "$venv/.installed" 2>/dev/null)" = "$want" ] && exit 0
printf 'Installing OctoPrint for the tests (about two minutes, once)\n' >&2
mkdir -p .venvs
.venv/bin/python -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
printf '%s\n' "$want" >"$venv/.installed"
