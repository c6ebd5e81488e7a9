#!/usr/bin/env bash
# By hand: what this machine cannot show. A Debian 12 of its own, with its kernel, systemd and cgroup v2, in qemu (without KVM; a boot
# takes half a minute), in which the tests of the node run as root, or in which Norn is installed as on any server.
#   tests/vm/run.sh BUILD              tests of the agent, of isolation and without root, in BUILD's programs (a release build)
#   tests/vm/run.sh BUILD TEST...      these: scripts of tests/integration, or programs of tests/{integration,unit}/nodeagent
#   tests/vm/run.sh BUILD machine      meson install, systemd, kill -9, a power cut, the boot after it, a shutdown
# Needs root, debootstrap, qemu-system-x86 and some 4 GB. The image's files are kept in BUILD/vm/root. No network leads out of it.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- unit-nodeagent-diskquota test-nodeagent-exec test-nodeagent test-nodeagent-hooks test-nodeagent-network test-nodeagent-orders \
  test-nodeagent-state test-nodeagent-disk test-nodeagent-quota test-nodeagent-logs exec pieces rootless
for program in debootstrap qemu-system-x86_64; do
  command -v $program >/dev/null || { echo "$program is missing: apt-get install --no-install-recommends debootstrap qemu-system-x86" >&2; exit 1; }
done
vm=$build/vm root=$build/vm/root share=$build/vm/share
mkdir -p "$vm"

if [ ! -e "$root/.made" ]; then
  echo 'making a Debian 12 (some minutes)'
  rm -rf "$root"
  libraries=$({ ldd "$build"/bin/* "$build"/tests/integration/nodeagent/test-nodeagent 2>/dev/null || true; } | awk '/=> \//{print $3}' | sort -u |
    xargs -n 1 readlink -f | { xargs dpkg-query -S 2>/dev/null || true; } | cut -d: -f1 | sort -u | paste -sd,)
  mirror=$(awk '/^URIs/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  debootstrap --variant=minbase --include="systemd,systemd-sysv,udev,dbus,kmod,linux-image-amd64,nftables,iproute2,e2fsprogs,xfsprogs,procps,jq,curl,python3,$libraries" \
    bookworm "$root" ${mirror:+"$mirror"} >"$vm/debootstrap.log"
  printf '9p\n9pnet_virtio\n' >>"$root/etc/modules"
  echo norn-vm >"$root/etc/hostname"
  cat >"$root/etc/systemd/system/run-it.service" <<'UNIT'
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStartPre=/bin/sh -c 'mkdir -p /host && mount -t 9p -o trans=virtio,version=9p2000.L host /host'
ExecStart=/bin/bash /host/inside.sh
ExecStopPost=/bin/systemctl --no-block poweroff
UNIT
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -s ../run-it.service "$root/etc/systemd/system/multi-user.target.wants/"
  touch "$root/.made"
fi

rm -rf "$share"
mkdir -p "$share/source/tests" "$share/source/bin" "$share/programs"
cp -r "$source/tests/integration" "$share/source/tests/"
cp "$build"/bin/* "$share/source/bin/"
find "$build/tests/integration/nodeagent" "$build/tests/unit/nodeagent" -maxdepth 1 -name '*nodeagent*' -type f -exec cp {} "$share/programs/" \;
strip "$share"/source/bin/* "$share"/programs/* 2>/dev/null || true
DESTDIR=$share/installed "$source/deploy/install.sh" "$share/source/bin"
if [ "$1" = machine ]; then cp "$here/machine.sh" "$share/inside.sh"; else cp "$here/inside.sh" "$share/inside.sh"; fi
printf '%s\n' "$@" >"$share/tests"
rm -f "$vm/disk"
truncate -s 4G "$vm/disk"
mkfs.ext4 -q -F -d "$root" "$vm/disk"
: >"$share/out"
tail -f "$share/out" &
shown=$!
trap 'kill $shown' EXIT

boot() {
  timeout "${1:-1800}" qemu-system-x86_64 -accel tcg,thread=multi -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand -smp 2 -m 2048 \
    -nographic -no-reboot -nic none -kernel "$root"/boot/vmlinuz-* -initrd "$root"/boot/initrd.img-* -append 'root=/dev/vda rw console=ttyS0' \
    -drive "file=$vm/disk,if=virtio,format=raw" -virtfs "local,path=$share,mount_tag=host,security_model=none" </dev/null >>"$vm/console" 2>&1
}
: >"$vm/console"
boot
[ "$1" != machine ] || boot
sleep 1 # for tail
grep -q '^done$' "$share/out" && ! grep -q '^not ok' "$share/out" || { echo "FAILED; the console's output: $vm/console" >&2; exit 1; }
if [ "$1" = machine ]; then
  ! grep -aq 'Waiting for process: .*taskshim' "$vm/console" || { echo 'FAILED: the shutdown waited for a taskshim' >&2; exit 1; }
fi
