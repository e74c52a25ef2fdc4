#!/bin/sh
# Sets up this checkout: a virtual environment in .venv with pinned packages, and PrusaSlicer from Debian.
# `scripts/install.sh` for the agent, `scripts/install.sh --dev` with what checks and tests need as well.
# What is there already is left alone, so a second run takes no time.
set -eu
cd "$(dirname "$0")/.."
venv=.venv

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    if command -v sudo >/dev/null 2>&1; then sudo "$@"; return; fi
    say "Needs root to run: $*"
    say "Run it as root, or install sudo, then try again."
    exit 1
}

debian_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "Installing from Debian:$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed. Debian 12 and Raspberry Pi OS have it: apt-get install python3"
    exit 1
}

# OctoPrint needs a package that has no wheel for every Python.
can_build() {
    command -v gcc >/dev/null 2>&1 &&
        "$venv/bin/python" -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())'
}

has_slicer() { command -v prusa-slicer >/dev/null 2>&1 || command -v PrusaSlicer >/dev/null 2>&1; }

make_venv() {
    [ -x "$venv/bin/pip" ] && return
    python=$(find_python)
    rm -rf "$venv"
    # Debian keeps ensurepip in a package of its own.
    "$python" -c 'import ensurepip' 2>/dev/null || debian_packages python3-venv
    "$python" -m venv "$venv"
}

pip_install() { # LOCK
    want=$(cat "$1" pyproject.toml requirements/build.in | sha256sum)
    stamp="$venv/.$(basename "$1").installed"
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
    say "Installing Python packages from $1"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
    # rectpack comes as source; without isolation it is built by what was just installed and not by something unpinned.
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-build-isolation --use-pep517 -r "$1"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    printf '%s\n' "$want" >"$stamp"
}

make_venv
pip_install requirements/agent.lock
has_slicer || { say "PrusaSlicer is about 180 MB to fetch, once"; debian_packages prusa-slicer; }
if [ "${1:-}" = --dev ]; then
    pip_install requirements/dev.lock
    can_build || debian_packages gcc libc6-dev python3-dev
    debian_packages mosquitto mosquitto-clients vsftpd cura-engine libsodium23 libusb-dev # the last two for Moonraker and for Klippy's own build
    # The tests start a dovecot of their own; the one that Debian's package would start with the machine stays off.
    command -v dovecot >/dev/null 2>&1 || [ -x /usr/sbin/dovecot ] || new_dovecot=yes
    debian_packages dovecot-imapd
    [ -z "${new_dovecot:-}" ] || ! command -v systemctl >/dev/null 2>&1 || as_root systemctl disable --quiet --now dovecot.service || true
    debian_packages cups-daemon cups-client fonts-dejavu-core # labels are printed on a real cupsd, dossiers are set in DejaVu
    command -v systemd-analyze >/dev/null 2>&1 || debian_packages systemd # the tests judge the unit with it
    debian_packages curl # what the docs ask the daemon and the sandbox with is run
    debian_packages chromium # the page is tested in a real browser; Playwright brings only what drives it
    scripts/cura-definitions.sh .venvs/cura-definitions
    scripts/klipper-venvs.sh &
    klipper=$!
    scripts/octoprint-venv.sh
    scripts/bambu-clients-venv.sh
    wait $klipper
fi
