#!/usr/bin/env bash
# Driver docker with real engines: what containers are told, their ports, memory, commands, and that they outlive the agent.
# usage: engines.sh [podman|docker]...
. "$(dirname "$0")/engines_lib.sh"
image "$WORK/loaded.tar" localhost/norn/loaded:1
chmod 644 "$WORK/loaded.tar"

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
  network='{"DynamicPorts": [{"Label": "web", "To": 8080}]}'
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

everything() {
  what_it_is_told
  what_an_image_says
  memory
  ports
  while_it_runs
}
each_engine everything
