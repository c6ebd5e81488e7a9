#!/usr/bin/env bash
# Driver docker with real engines: podman and docker, whichever is installed, each in namespaces of its own, with an image that is made
# here. Skipped where there is no engine, or where none can be started.
# usage: engines.sh [podman|docker]...
. "$(dirname "$0")/docker_lib.sh"
skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip 'engines are started by root'
command -v busybox >/dev/null || skip 'there is no busybox to make an image of'
unshare --net --mount true 2>/dev/null || skip 'no namespaces can be made'
engines=()
for name in "${@:-podman docker}"; do
  for program in $name; do if command -v "${program/%docker/dockerd}" >/dev/null; then engines+=("$program"); fi; done
done
[ ${#engines[@]} -gt 0 ] || skip 'neither podman nor docker is installed'

# image FILE NAME: an archive as `docker save` makes it
image() {
  local root=$WORK/image/root parts=$WORK/image/parts program sum
  rm -rf "$WORK/image"
  mkdir -p "$parts" "$root"/{bin,dev,etc,proc,sys,tmp}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for program in sh cat grep head id ls nc ps pwd sleep tail touch wc; do ln -s busybox "$root/bin/$program"; done
  printf '%s\n' 'root:x:0:0::/:/bin/sh' 'web:x:1234:1234::/:/bin/sh' >"$root/etc/passwd"
  tar -C "$root" --owner 0 --group 0 -cf "$parts/layer.tar" .
  sum=$(sha256sum <"$parts/layer.tar" | cut -d' ' -f1)
  jq -n --arg sum "sha256:$sum" '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$sum]},
    config: {Env: ["PATH=/bin", "FROM=image"], Cmd: ["sh", "-c", "echo the image speaks from $(pwd)"], WorkingDir: "/tmp"}}' >"$parts/config.json"
  jq -n --arg name "$2" '[{Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"]}]' >"$parts/manifest.json"
  tar -C "$parts" -cf "$1" config.json manifest.json layer.tar
}
image "$WORK/box.tar" localhost/norn/box:1
image "$WORK/loaded.tar" localhost/norn/loaded:1
chmod 755 "$WORK" && chmod 644 "$WORK/loaded.tar"

# What is not started through a shell of its own would not be in the namespaces. Limits are of this shell: not all may be raised.
start_podman() {
  cat >"$home/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=1024:1024"]
[network]
network_config_dir = "$home/networks"
END
  CONTAINERS_CONF=$home/containers.conf unshare --net --mount sh -c 'ip link set lo up; cd "$0"; exec "$@"' "$home" podman --root "$home/root" --runroot "$home/run" \
    --tmpdir "$home/tmp" --cgroup-manager cgroupfs --events-backend file ${runtime:+--runtime "$runtime"} system service --time 0 "unix://$engine" >"$home/log" 2>&1 &
}
start_docker() {
  echo '{}' >"$home/daemon.json"
  unshare --net --mount sh -c 'ip link set lo up; cd "$0"; ulimit -n "$(ulimit -Hn)"; exec "$@"' "$home" dockerd --data-root "$home/root" --exec-root "$home/run" \
    --pidfile "$home/pid" --config-file "$home/daemon.json" --host "unix://$engine" >"$home/log" 2>&1 &
}
ask() { curl -sf --max-time 30 --unix-socket "$engine" "http://engine/v1.40$1" "${@:2}"; }
engine_start() {
  home=$WORK/engine-$name engine=$WORK/$name.sock
  mkdir -p "$home"
  "start_$name"
  engine_pid=$!
  suites+=("$engine_pid")
  local i
  for ((i = 0; i < 600; i++)); do
    if ask /version >/dev/null; then break; fi
    alive "$engine_pid" || break
    sleep 0.05
  done
  if ! ask /version >/dev/null; then
    echo "skipped: $name does not start here: $(tail -n 1 "$home/log")"
    return 1
  fi
  ask /images/load -X POST -H 'Content-Type: application/x-tar' --data-binary "@$WORK/box.tar" >/dev/null || fail "$name does not load the image"
}
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
  clean_up_more
}
containers() { ask '/containers/json?all=1' | jq -r '.[].Names[0]'; }
no_container() { [ -z "$(containers)" ]; }
inside() { nsenter -t "$engine_pid" --net --mount -- "$@"; }

await() { # await JOB STATUS
  local end=$(($(date +%s) + 120))
  until allocs_are "$1" "$2" 1; do
    [ "$(date +%s)" -lt "$end" ] || fail "$1 is not $2: $(events "$1") $(logs -stderr "$(id_of "$1")")"
    sleep 0.05
  done
}

what_it_is_told() {
  note "$name: what it is told"
  run_job facts batch '{"image": "localhost/norn/box:1", "command": "sh", "work_dir": "/etc", "hostname": "boxy", "readonly_rootfs": true,
    "args": ["-c", "id -u; pwd; cat /proc/sys/kernel/hostname; ulimit -Sn; ulimit -Hn; cat /proc/sys/net/core/somaxconn; echo $FROM $COLOR $NOMAD_TASK_NAME; touch /x 2>/dev/null || echo fixed; touch /scratch/y && echo loose; cat /proc/mounts | grep -c \"^tmpfs /scratch.*size=1024k\"; grep -c 10.9.8.7 /etc/hosts; ls /dev/nothing; echo kept >/data/kept; grep -c CapBnd:.0000000000000000 /proc/self/status; echo out >&2; exit 3"],
    "mount": [{"type": "tmpfs", "target": "/scratch", "tmpfs_options": {"size": 1048576, "mode": 1023}}], "volumes": ["local:/data"], "cap_drop": ["all"],
    "ulimit": {"nofile": "512:768", "nproc": "1024"}, "sysctl": {"net.core.somaxconn": "321"}, "devices": [{"host_path": "/dev/null", "container_path": "/dev/nothing"}],
    "extra_hosts": ["far:10.9.8.7"], "labels": {"a": "b"}}'
  await facts failed
  printf '%s\n' 1234 /etc boxy 512 768 321 'image red t' fixed loose 1 1 /dev/nothing 1 >"$WORK/wanted"
  told() { logs "$(id_of facts)" >"$WORK/told" && cmp -s "$WORK/told" "$WORK/wanted" && [ "$(logs -stderr "$(id_of facts)")" = out ]; }
  wait_for 30 'it is as told' told
  events facts | grep -q '^Terminated: Exit Code: 3' || fail "its exit code: $(events facts)"
  [ "$("$NCTL" alloc fs cat "$(id_of facts)" t/local/kept)" = kept ] || fail 'what it wrote is not in its directory'
}

what_an_image_says() {
  note "$name: an image of an archive, and what it says itself"
  jq '.Job.TaskGroups[0].Tasks[0] |= (.Config = {image: "localhost/norn/loaded:1", load: "loaded.tar"} | .Artifacts = [{GetterSource: "file://'"$WORK"'/loaded.tar", GetterMode: "file",
    RelativeDest: "local/loaded.tar"}]) | .Job.ID = "loaded"' "$WORK/facts.json" >"$WORK/loaded.json"
  api PUT /v1/jobs "$(cat "$WORK/loaded.json")" >/dev/null
  await loaded complete
  speaks() { [ "$(logs "$(id_of loaded)")" = 'the image speaks from /tmp' ]; }
  wait_for 30 'the image speaks' speaks
  run_job missing batch '{"image": "localhost:1/norn/none:1"}'
  await missing failed
  events missing | grep -q '^Driver Failure: .*localhost:1/norn/none:1' || fail "why there is no image: $(events missing)"
}

memory() {
  note "$name: who takes more memory than there is"
  run_job hog batch '{"image": "localhost/norn/box:1", "command": "tail", "args": ["-c", "400000000", "/dev/zero"]}'
  await hog failed
  events hog | grep -q '^Terminated: Exit Code: 137, Exit Message: "OOM Killed"' || fail "what killed it: $(events hog)"
}

greets() { [ "$(inside busybox timeout 5 busybox nc 127.0.0.1 "$(api GET "/v1/allocation/$(id_of "$1")" | jq -r '.AllocatedResources.Shared.Ports[0].Value')" </dev/null)" = hello ]; }
ports() {
  note "$name: ports, of the engine's network and of the group's"
  run_job ports service '{"image": "localhost/norn/box:1", "command": "sh", "ports": ["web"], "args": ["-c", "trap \"exit 0\" TERM; while :; do echo hello | nc -l -p 8080 & wait; done"]}'
  await ports running
  wait_for 30 'its port answers' greets ports
  network='{"Mode": "bridge", "DynamicPorts": [{"Label": "web", "To": 8080}]}'
  run_job bridge service '{"image": "localhost/norn/box:1", "command": "sh", "args": ["-c", "trap \"exit 0\" TERM; while :; do echo hello | nc -l -p 8080 & wait; done"]}'
  network='{}'
  await bridge running
  wait_for 30 'its port answers' greets bridge
  for job in ports bridge; do "$NCTL" stop -detach "$job" >/dev/null; done
  await ports complete
  await bridge complete
}

while_it_runs() {
  note "$name: it runs on without the agent; commands, figures, signals"
  run_job long service '{"image": "localhost/norn/box:1", "command": "sh", "args": ["-c", "trap \"echo caught; exit 0\" TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"]}'
  await long running
  local long id status=0
  long=$(id_of long)
  stands() { id=$(ask /containers/json | jq -er '.[].Id'); }
  wait_for 60 'its container runs' stands
  stands
  kill -KILL "$agent"
  wait "$agent" 2>/dev/null || true
  start_agent
  lines() { [ "$(logs "$long" | grep -c '^line')" -gt "$1" ]; }
  wait_for 60 'its output goes on' lines 60
  wait_for 60 'the driver is healthy again' healthy true
  [ "$(ask /containers/json | jq -r '.[].Id')" = "$id" ] || fail 'it is another container'
  echo in | "$NCTL" alloc exec -t=false "$long" sh -c 'cat; id -u; exit 6' >"$WORK/out" || status=$?
  [ "$status $(tr '\n' ' ' <"$WORK/out")" = '6 in 1234 ' ] || fail "a command: $status $(cat "$WORK/out")"
  measured() { api GET "/v1/client/allocation/$long/stats" | jq -e '.Tasks.t.ResourceUsage | .MemoryStats.Usage > 0 and .CpuStats.TotalTicks > 0' >/dev/null; }
  wait_for 60 'it is measured' measured
  "$NCTL" stop -detach long >/dev/null
  await long complete
  [ "$(logs "$long" | tail -n 1)" = caught ] || fail "the last it said: $(logs "$long" | tail -n 1)"
  events long | grep -q '^Terminated: Exit Code: 0' || fail "its exit code: $(events long)"
}

ran=0
for name in "${engines[@]}"; do
  runtime='' network='{"DynamicPorts": [{"Label": "web", "To": 8080}]}'
  if [ "$name" = podman ] && command -v runc >/dev/null; then runtime=runc; fi # crun knows no hybrid of cgroups v1 and v2
  engine_start || continue
  suite_start ''
  class=$name agent_runs=(nsenter -t "$engine_pid" --net --mount --)
  start_agent
  wait_for 60 'the node is ready' node_ready
  wait_for 60 'the driver is healthy' healthy true
  what_it_is_told
  what_an_image_says
  memory
  ports
  while_it_runs
  note "$name: nothing is left"
  wait_for 60 'no container' no_container
  kill -TERM "$agent"
  wait "$agent" || fail "the agent exited $?"
  suite_stop
  engine_stop
  ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || exit 77
