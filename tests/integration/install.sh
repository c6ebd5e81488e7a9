#!/bin/sh
# What `meson install` puts in place is whole: each unit's program is there and takes the norn.conf that comes with it, which a
# second installation leaves alone.
# usage: install.sh SOURCE_ROOT BIN_DIR
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
DESTDIR=$dir "$1/deploy/install.sh" "$2"
sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$dir"/usr/lib/systemd/system/*.service > "$dir/started"
[ "$(wc -l < "$dir/started")" = 8 ] || { echo "not eight services:"; cat "$dir/started"; exit 1; }
while read -r program; do
    "$dir$program" --config "$dir/etc/norn/norn.conf" --check-config > "$dir/said" 2>&1 || { cat "$dir/said"; exit 1; }
done < "$dir/started"
"$dir/usr/bin/nctl" dev --help > /dev/null
echo '# mine' > "$dir/etc/norn/norn.conf"
DESTDIR=$dir "$1/deploy/install.sh" "$2"
[ "$(cat "$dir/etc/norn/norn.conf")" = '# mine' ] || { echo 'an installation overwrote norn.conf'; exit 1; }
