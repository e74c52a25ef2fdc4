#!/bin/sh
# Tries the package in dist/ (or the FILE given) out without installing it: unpacked into a folder, it tells its version, checks a
# configuration, serves, reads it anew on SIGHUP, and stops; and writes nothing beside its data. Needs no root and no network.
set -eu
cd "$(dirname "$0")/.."
file=${1:-$(ls -t dist/intagly-agent_*.deb | head -n 1)}
file=$(readlink -f "$file")
root=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$root"' EXIT
say() { printf '%s\n' "$*"; }

dpkg-deb -x "$file" "$root"
installed=$root/opt/intagly-agent
agent() { (cd "$root/here" && exec "$installed/bin/python" "$installed/bin/intagly-agent" "$@"); }
logged() { # EVENT: within 60 s
    for _ in $(seq 300); do
        grep -q "\"event\": *\"$1\"" "$root/here/log" && return
        sleep 0.2
    done
    say "not logged: $1"; cat "$root/here/log"; exit 1
}

mkdir -p "$root/here/printers"
(cd "$installed" && find . -type f | sort) >"$root/before"
say "package: $(du -h "$file" | cut -f1), installed: $(du -sh "$installed" | cut -f1)"
agent --version
printf '[agent]\ndata_dir = "data"\n[files]\nkeep_free_mb = 1\n[web]\nlisten = "127.0.0.1:18410"\n' >"$root/here/config.toml"
printf 'name = "one"\nkind = "virtual"\nprofile = "prusa-mk3s"\n' >"$root/here/printers/one.toml"
agent check || [ $? = 1 ] # where no slicer is installed it says so

(cd "$root/here" && exec "$installed/bin/python" "$installed/bin/intagly-agent" run) >"$root/here/log" 2>&1 &
pid=$!
logged ready
sed 's/one/two/' "$root/here/printers/one.toml" >"$root/here/printers/two.toml"
python=$installed/bin/python; "$python" -c 'import urllib.request as u; assert u.urlopen("http://127.0.0.1:18410/sign-in", timeout=60).status == 200'
agent reload
logged reloaded
kill -TERM "$pid"
wait "$pid"
pid=
logged stopped
(cd "$installed" && find . -type f | sort) >"$root/after"
cmp "$root/before" "$root/after"
say "it serves, reloads and stops; nothing was written beside its data"
