#!/usr/bin/env bash
# Cores and devices, from a program that tells of them to the tasks that have them.
. "$(dirname "$0")/lib.sh"
suite_start ''

printf '#!/bin/sh\ncat %s/devices.json\n' "$WORK" >"$WORK/tell"
chmod +x "$WORK/tell"
tell() { # tell HEALTHY: of instance b
  printf '{"devices": [{"vendor": "acme", "type": "gpu", "name": "x1", "instances": ["a", {"id": "b", "healthy": %s}], "attributes": {"memory": "8 GiB"}}]}' \
    "$1" >"$WORK/next.json"
  mv "$WORK/next.json" "$WORK/devices.json"
}
tell false
"$BIN/nodeagent" --gateway "ipc://$DIR/run/gateway.sock" --gateway-poll "ipc://$DIR/run/gateway-poll.sock" --data-dir "$WORK/agent" \
  --name with-pieces --node-class pieces --device-program "$WORK/tell" --device-interval-ms 200 --device-timeout-ms 30000 \
  --stop-tasks-on-exit true >"$WORK/agent.log" 2>&1 &
suites+=("$!")
node_id() { api GET /v1/nodes | jq -r '.[] | select(.Name == "with-pieces" and .Status == "ready") | .ID'; }
node_there() { [ -n "$(node_id)" ]; }
wait_for 60 'the node is ready' node_there
node=$(node_id)

note 'the node lists its devices'
api GET "/v1/node/$node" >"$WORK/node.json"
jq -e '.NodeResources.Devices == [{Vendor: "acme", Type: "gpu", Name: "x1", Attributes: {memory: {Int: 8, Unit: "GiB", Bool: null, Float: null, String: null}},
  Instances: [{ID: "a", Healthy: true, HealthDescription: "", Locality: null}, {ID: "b", Healthy: false, HealthDescription: "", Locality: null}]}]' \
  "$WORK/node.json" >/dev/null || fail "$(jq .NodeResources "$WORK/node.json")"

note 'two want one each; one of them waits until the second is well'
jq -n --arg out "$WORK/given" '
  {Job: {ID: "gpus", Name: "gpus", Type: "service", Datacenters: ["dc1"], Constraints: [{LTarget: "${node.class}", RTarget: "pieces", Operand: "="}],
    TaskGroups: [{Name: "g", Count: 2, EphemeralDisk: {SizeMB: 10}, Tasks: [{Name: "t", Driver: "raw_exec",
      Config: {command: "/bin/sh", args: ["-c", ("echo $NORN_DEVICE_GPU >>" + $out + "; exec sleep 3600")]},
      Resources: {CPU: 20, MemoryMB: 16, Devices: [{Name: "acme/gpu", Count: 1,
        Constraints: [{LTarget: "${device.attr.memory}", Operand: ">=", RTarget: "8000 MB"}]}]},
      LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}' >"$WORK/gpus.json"
"$NCTL" run -detach "$WORK/gpus.json" >/dev/null || fail 'run gpus'
wait_for 60 'one runs' allocs_are gpus running 1
[ "$(cat "$WORK/given")" = a ] || fail "given: $(cat "$WORK/given")"
missing() { api GET /v1/job/gpus/evaluations | jq -e '[.[] | .FailedTGAllocs.g.DimensionExhausted // {} | keys[]] | index("devices: acme/gpu")' >/dev/null; }
wait_for 30 'why is said' missing
tell true
wait_for 60 'the other runs' allocs_are gpus running 2
[ "$(sort "$WORK/given" | tr '\n' ' ')" = 'a b ' ] || fail "given: $(cat "$WORK/given")"
api GET "/v1/allocation/$(allocs gpus | jq -r '.[0].ID')" |
  jq -e '.AllocatedResources.Tasks.t.Devices[0] | .Vendor == "acme" and (.DeviceIDs | length) == 1' >/dev/null || fail 'the allocation does not show its device'
"$NCTL" node status "$node" >"$WORK/out"
grep -q '^acme/gpu/x1  *2  *2  *2$' "$WORK/out" || fail "$(cat "$WORK/out")"

note 'a more important one takes a device over'
"$NCTL" operator scheduler set-config -preempt-service-scheduler true >/dev/null || fail 'set-config'
jq '.Job.ID = "urgent" | .Job.Name = "urgent" | .Job.Priority = 80 | .Job.TaskGroups[0].Count = 1' "$WORK/gpus.json" >"$WORK/urgent.json"
"$NCTL" run -detach "$WORK/urgent.json" >/dev/null || fail 'run urgent'
wait_for 60 'it runs' allocs_are urgent running 1
taken=$(allocs urgent | jq -r '.[0].ID')
evicted() { [ "$(allocs gpus | jq -c '[.[] | select(.DesiredStatus == "evict") | .PreemptedByAllocation]')" = "[\"$taken\"]" ]; }
wait_for 60 'one of the others went' evicted
one_left() { [ "$(allocs gpus | jq '[.[] | select(.DesiredStatus == "run" and .ClientStatus == "running")] | length')" = 1 ]; }
wait_for 60 'and the second stays' one_left
devices() { api GET "/v1/allocation/$1" | jq -r '.AllocatedResources.Tasks.t.Devices[].DeviceIDs[]'; }
left=$(allocs gpus | jq -r '.[] | select(.DesiredStatus == "run") | .ID')
[ "$( (devices "$taken"; devices "$left") | sort | tr '\n' ' ')" = 'a b ' ] || fail "$(devices "$taken") and $(devices "$left")"

cores=$(jq '.NodeResources.Cpu.ReservableCpuCores | length' "$WORK/node.json")
if [ "$cores" = 0 ]; then
  note 'no cpusets here: no cores are offered'
  exit 0
fi
note "a task with a core of its own, of $cores, is kept to it"
jq -n --arg out "$WORK/core" '
  {Job: {ID: "pinned", Name: "pinned", Type: "service", Datacenters: ["dc1"], Constraints: [{LTarget: "${node.class}", RTarget: "pieces", Operand: "="}],
    TaskGroups: [{Name: "g", Count: 1, EphemeralDisk: {SizeMB: 10}, Tasks: [{Name: "t", Driver: "raw_exec",
      Config: {command: "/bin/sh", args: ["-c", ("{ echo $NOMAD_CPU_CORES; grep Cpus_allowed_list /proc/self/status | cut -f 2; } >" + $out + ".new; mv " + $out + ".new " + $out + "; exec sleep 3600")]},
      Resources: {Cores: 1, MemoryMB: 16}, LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}' >"$WORK/pinned.json"
"$NCTL" run -detach "$WORK/pinned.json" >/dev/null || fail 'run pinned'
wait_for 60 'it runs' test -e "$WORK/core"
[ "$(sort -u "$WORK/core" | wc -l)" = 1 ] && grep -qxE '[0-9]+' "$WORK/core" || fail "kept to: $(cat "$WORK/core")"
id=$(allocs pinned | jq -r '.[0].ID')
[ "$(api GET "/v1/allocation/$id" | jq -c .AllocatedResources.Tasks.t.Cpu.ReservedCores)" = "[$(head -n 1 "$WORK/core")]" ] || fail 'another core is shown'
