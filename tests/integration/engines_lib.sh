# shellcheck shell=bash
# Sourced by the tests of driver docker with real engines: podman and docker, whichever is installed, each in namespaces of its own, with
# images that are made here. Skipped where there is no engine, or where none can be started. The arguments are the engines to take.
. "$(dirname "$0")/docker_lib.sh"
plain_registry=127.0.0.1:5000 # without TLS
trusted=''                    # a file with who is trusted besides; empty: as the machine has it
agent_options=(--docker-interval-ms 1s)
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip 'engines are started by root'
command -v busybox >/dev/null || skip 'there is no busybox to make an image of'
unshare --net --mount true 2>/dev/null || skip 'no namespaces can be made'
engines=()
for name in "${@:-podman docker}"; do
  for program in $name; do if command -v "${program/%docker/dockerd}" >/dev/null; then engines+=("$program"); fi; done
done
[ ${#engines[@]} -gt 0 ] || skip 'neither podman nor docker is installed'

# image FILE NAME [WORD]: an archive as `docker save` makes it; WORD is in its environment
image() {
  local root=$WORK/image/root parts=$WORK/image/parts program sum
  rm -rf "$WORK/image"
  mkdir -p "$parts" "$root"/{bin,dev,etc,proc,sys,tmp}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for program in sh cat grep head id ip ls nc ps pwd sleep tail touch wc; do ln -s busybox "$root/bin/$program"; done
  printf '%s\n' 'root:x:0:0::/:/bin/sh' 'web:x:1234:1234::/:/bin/sh' >"$root/etc/passwd"
  tar -C "$root" --owner 0 --group 0 -cf "$parts/layer.tar" .
  sum=$(sha256sum <"$parts/layer.tar" | cut -d' ' -f1)
  jq -n --arg sum "sha256:$sum" --arg word "${3:-image}" '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$sum]},
    config: {Env: ["PATH=/bin", "FROM=" + $word], Cmd: ["sh", "-c", "echo the image speaks from $(pwd)"], WorkingDir: "/tmp"}}' >"$parts/config.json"
  jq -n --arg name "$2" '[{Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"]}]' >"$parts/manifest.json"
  tar -C "$parts" -cf "$1" config.json manifest.json layer.tar
}
image "$WORK/box.tar" localhost/norn/box:1
chmod 755 "$WORK"

# Limits are of this shell: not all may be raised.
start_podman() {
  cat >"$home/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=1024:1024"]
[network]
network_config_dir = "$home/networks"
END
  printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$plain_registry" >"$home/registries.conf"
  CONTAINERS_CONF=$home/containers.conf CONTAINERS_REGISTRIES_CONF=$home/registries.conf SSL_CERT_FILE=$trusted "${agent_runs[@]}" podman --root "$home/root" --runroot "$home/run" \
    --tmpdir "$home/tmp" --cgroup-manager cgroupfs --events-backend file ${runtime:+--runtime "$runtime"} system service --time 0 "unix://$engine" >>"$home/log" 2>&1 &
}
start_docker() {
  echo '{}' >"$home/daemon.json"
  SSL_CERT_FILE=$trusted "${agent_runs[@]}" sh -c 'ulimit -n "$(ulimit -Hn)"; exec "$@"' sh dockerd --data-root "$home/root" --exec-root "$home/run" \
    --pidfile "$home/pid" --config-file "$home/daemon.json" --host "unix://$engine" >>"$home/log" 2>&1 &
}
inside() { "${agent_runs[@]}" "$@"; }
ask() { curl -sf --max-time 30 --unix-socket "$engine" "http://engine/v1.40$1" "${@:2}"; }
# The namespaces outlive an engine that is killed. /etc/hosts is theirs, and where podman notes addresses that are taken.
spaces_start() {
  printf '127.0.0.1 localhost registry.test\n' >"$home/hosts"
  unshare --net --mount sh -c 'ip link set lo up && mount --bind "$0/hosts" /etc/hosts && mkdir -p /run/containers && mount -t tmpfs none /run/containers && touch "$0/ready" && exec sleep 3600' "$home" &
  spaces=$!
  suites+=("$spaces")
  agent_runs=(nsenter -t "$spaces" --net --mount --)
  wait_for 30 'namespaces are made' test -e "$home/ready"
}
engine_run() {
  "start_$name"
  engine_pid=$!
  suites+=("$engine_pid")
  local i
  for ((i = 0; i < 600; i++)); do
    if ask /version >/dev/null; then break; fi
    alive "$engine_pid" || break
    sleep 0.05
  done
  ask /version >/dev/null
}
engine_start() {
  home=$WORK/engine-$name engine=$WORK/$name.sock runtime=''
  if [ "$name" = podman ] && command -v runc >/dev/null; then runtime=runc; fi # crun knows no hybrid of cgroups v1 and v2
  mkdir -p "$home"
  spaces_start
  if ! engine_run; then
    echo "skipped: $name does not start here: $(tail -n 1 "$home/log")"
    return 1
  fi
  load "$WORK/box.tar"
}
load() { ask /images/load -X POST -H 'Content-Type: application/x-tar' --data-binary "@$1" >/dev/null || fail "$name does not load $1"; }
# Whatever an engine leaves when it is stopped: its helpers, and the directory in the cgroups that it makes once. One that another engine
# uses is not empty.
clean_up_more() {
  local mounts
  pkill -KILL -f "$WORK/engine-" || true
  for mounts in $(grep -l "$WORK/engine-" /proc/[0-9]*/mountinfo 2>/dev/null); do kill -KILL "${mounts//[^0-9]/}" 2>/dev/null || true; done
  find /sys/fs/cgroup -depth -type d -regex '.*/\(docker\|libpod_parent\)\(/.*\)?' -exec rmdir {} + 2>/dev/null || true
}
engine_stop() {
  kill -TERM "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  kill -KILL "$spaces" 2>/dev/null || true
  wait "$spaces" 2>/dev/null || true
  clean_up_more
}
containers() { ask '/containers/json?all=1' | jq -r '.[].Names[0]'; }
no_container() { [ -z "$(containers)" ]; }
one_container() { [ "$(containers | wc -l)" = 1 ] && [ "$(ask /containers/json | jq -r '.[].State')" = running ]; }

await() { # await JOB STATUS
  local end=$(($(date +%s) + 120))
  until allocs_are "$1" "$2" 1; do
    [ "$(date +%s)" -lt "$end" ] || fail "$1 is not $2: $(events "$1") $(logs -stderr "$(id_of "$1")")"
    sleep 0.05
  done
}

# each_engine FUNCTION: with an engine and an agent of its own, as long as one can be started; what it leaves is a failure
each_engine() {
  local ran=0
  for name in "${engines[@]}"; do
    engine_start || continue
    suite_start ''
    class=$name
    start_agent
    wait_for 60 'the node is ready' node_ready
    wait_for 120 'the driver is healthy' healthy true
    "$1"
    note "$name: nothing is left"
    wait_for 60 'no container' no_container
    kill -TERM "$agent"
    wait "$agent" || fail "the agent exited $?"
    suite_stop
    engine_stop
    ran=$((ran + 1))
  done
  [ "$ran" -gt 0 ] || exit 77
}
