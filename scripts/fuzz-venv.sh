#!/bin/sh
# The coverage-guided fuzzer, in a virtual environment of its own (.venvs/fuzz). Kept between runs.
set -eu
cd "$(dirname "$0")/.."
venv=.venvs/fuzz
lock=requirements/fuzz.lock
want=$(sha256sum <"$lock")
[ "$(cat "$venv/.installed" 2>/dev/null)" = "$want" ] && exit 0
printf 'Installing the fuzzer (once)\n' >&2
mkdir -p .venvs
.venv/bin/python -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
printf '%s\n' "$want" >"$venv/.installed"
