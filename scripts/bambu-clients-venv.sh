#!/bin/sh
# Bambu clients that nobody here wrote, for the tests of the sandbox printer, in a virtual environment of their own. Kept between runs.
set -eu
cd "$(dirname "$0")/.."
venv=.venvs/bambu-clients
lock=requirements/bambu-clients.lock
want=$(sha256sum <"$lock")
[ "$(cat "$venv/.installed" 2>/dev/null)" = "$want" ] && exit 0
printf 'Installing Bambu clients for the tests (once)\n' >&2
mkdir -p .venvs
.venv/bin/python -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
printf '%s\n' "$want" >"$venv/.installed"
