#!/bin/sh
# Rewrites requirements/*.lock from pyproject.toml: every package pinned, every file hashed, no host named.
# Needs pip-tools on the PATH; `scripts/lock.sh --upgrade` takes newer versions. The result is committed.
set -eu
cd "$(dirname "$0")/.."
options=$*
compile() { pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header $options "$@"; }
compile --extra apprise --output-file requirements/agent.lock pyproject.toml requirements/build.in
compile --constraint requirements/agent.lock --output-file requirements/build.lock requirements/build.in
compile --all-extras --output-file requirements/dev.lock pyproject.toml requirements/build.in requirements/dev.in
compile --output-file requirements/octoprint.lock requirements/octoprint.in
compile --output-file requirements/moonraker.lock requirements/moonraker.in
compile --output-file requirements/klippy.lock requirements/klippy.in
compile --output-file requirements/bambu-clients.lock requirements/bambu-clients.in
compile --output-file requirements/fuzz.lock requirements/fuzz.in
