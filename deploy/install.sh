#!/bin/sh
# What `meson install` runs: puts the programs, the units of systemd and a first norn.conf in their places. A norn.conf that is
# there stays.
# usage: install.sh BIN_DIR      DESTDIR: below which directory; unset: this machine itself
set -eu
from=$(cd "$(dirname "$0")" && pwd)
to=${DESTDIR:-}
install -d "$to/usr/lib/norn" "$to/usr/bin" "$to/usr/lib/systemd/system" "$to/usr/lib/sysusers.d" "$to/usr/lib/tmpfiles.d" "$to/etc/norn"
for program in "$1"/*; do
    case ${program##*/} in bench-*) continue ;; esac
    install -m 755 "$program" "$to/usr/lib/norn/"
done
ln -sfn ../lib/norn/nctl "$to/usr/bin/nctl"
install -m 644 "$from"/systemd/*.service "$from"/systemd/*.target "$to/usr/lib/systemd/system/"
install -m 644 "$from/systemd/norn.sysusers" "$to/usr/lib/sysusers.d/norn.conf"
install -m 644 "$from/systemd/norn.tmpfiles" "$to/usr/lib/tmpfiles.d/norn.conf"
[ -e "$to/etc/norn/norn.conf" ] || install -m 644 "$from/example.conf" "$to/etc/norn/norn.conf"
