#!/bin/sh
# Builds dist/intagly-agent_VERSION_ARCH.deb for this machine's Debian: the agent with all Python packages of requirements/agent.lock, by
# their hashes, the unit and the examples. Nothing is fetched when it is installed. Needs python3-venv and dpkg-deb; no root.
# `--without-python`: what is around the Python packages, for the test of the package's own scripts. `--into FOLDER`: instead of dist.
set -eu
cd "$(dirname "$0")/.."
umask 022
home=/opt/intagly-agent
python=$(readlink -f "${PYTHON:-/usr/bin/python3}")
into=dist
packages=yes
while [ $# -gt 0 ]; do
    case $1 in
        --without-python) packages= ;;
        --into) into=$2; shift ;;
        *) echo "unknown: $1" >&2; exit 2 ;;
    esac
    shift
done
name=$(basename "$python") # python3.11: compiled packages are for one version
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' agent/__init__.py)
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage

pip() { "$work/build/bin/pip" --disable-pip-version-check --quiet install --require-virtualenv "$@"; }
into_stage() { pip --root "$stage" --prefix "$home" --ignore-installed --no-compile --no-warn-script-location --no-build-isolation "$@"; }

install_packages() {
    "$python" -m venv "$work/build"
    pip --require-hashes -r requirements/build.lock
    into_stage --require-hashes --use-pep517 -r requirements/agent.lock
    into_stage --no-deps .
    rm -rf "$stage$home/bin" # their programs name the folder they were built in
    # Compiled here: the service writes nothing, and would compile everything at each start.
    "$work/build/bin/python" -m compileall -q -j 0 -s "$stage" --invalidation-mode unchecked-hash "$stage$home/lib"
}

lay_out() {
    install -d "$stage$home/bin" "$stage/usr/bin" "$stage/usr/lib/systemd/system" "$stage/usr/share/doc/intagly-agent/examples"
    # A virtual environment is this file, a link and lib/: so it is made for where it will be, wherever it is built.
    printf 'home = %s\ninclude-system-site-packages = false\nversion = %s\n' "$(dirname "$python")" "${name#python}" >"$stage$home/pyvenv.cfg"
    ln -s "$python" "$stage$home/bin/python"
    install -m 755 scripts/deb/intagly-agent "$stage$home/bin/intagly-agent"
    ln -s "$home/bin/intagly-agent" "$stage/usr/bin/intagly-agent"
    install -m 644 systemd/intagly-agent.service "$stage/usr/lib/systemd/system/"
    install -m 644 config.example.toml "$stage/usr/share/doc/intagly-agent/examples/config.toml"
    cp -r printers.example "$stage/usr/share/doc/intagly-agent/examples/printers"
    install -m 644 LICENSE "$stage/usr/share/doc/intagly-agent/copyright"
    install -m 644 systemd/README.md "$stage/usr/share/doc/intagly-agent/"
}

describe() {
    install -d "$stage/DEBIAN"
    sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@PYTHON@/$name/" \
        -e "s/@SIZE_KB@/$(du -sk "$stage" | cut -f1)/" scripts/deb/control.in >"$stage/DEBIAN/control"
    for script in postinst prerm postrm; do install -m 755 "scripts/deb/$script" "$stage/DEBIAN/$script"; done
}

[ -z "$packages" ] || install_packages
lay_out
describe
mkdir -p "$into"
file="$into/intagly-agent_${version}_$architecture.deb"
dpkg-deb --root-owner-group -Zxz -z2 --build "$stage" "$file.part" >/dev/null
mv "$file.part" "$file"
echo "$file"
