#!/bin/sh
# The units of deploy/systemd are what systemd understands, and nothing else: it says nothing about them.
# usage: units.sh SOURCE_ROOT BIN_DIR
set -eu
command -v systemd-analyze > /dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for unit in "$1"/deploy/systemd/norn-*; do
    sed "s|/usr/lib/norn/|$2/|" "$unit" > "$dir/${unit##*/}"
done
cp "$dir/norn-schedworker@.service" "$dir/norn-schedworker@1.service"
said=$(cd "$dir" && systemd-analyze verify --man=no ./norn-*.service ./norn-server.target 2>&1 | grep -F norn || true)
[ -z "$said" ] || { echo "$said"; exit 1; }
for unit in "$dir"/norn-*.service; do
    name=${unit##*/}
    case $name in norn-nodeagent.service | norn-schedworker@.service) continue ;; esac
    # systemd's own score of exposure, in tenths: 10 is none at all
    systemd-analyze security --offline=yes --threshold=30 "$unit" > "$dir/score" 2>&1 || { tail -2 "$dir/score"; exit 1; }
done
