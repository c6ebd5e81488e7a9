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

held() { ask "/containers/t-$(id_of "$1")/json" >"$WORK/held.json"; }
what_the_engine_is_told() {
  note "$name: what the engine is told"
  user=''
  run_job wide service '{"image": "localhost/norn/box:1", "entrypoint": ["sh", "-c"], "args": ["trap \"exit 0\" TERM; while [ ! -e /local/go ]; do sleep 0.05; done; echo done; while :; do sleep 0.05; done"], "interactive": true,
    "pids_limit": 50, "memory_hard_limit": 128, "cpu_hard_limit": true, "cpu_cfs_period": 50000, "shm_size": 2097152, "oom_score_adj": 7, "group_add": ["1234"],
    "ipc_mode": "private", "security_opt": ["no-new-privileges"], "cap_add": ["CHOWN"], "logging": {"type": "json-file", "config": {"max-size": "1m"}},
    "dns_servers": ["10.9.9.9"], "dns_search_domains": ["corner.test"], "dns_options": ["ndots:3"], "healthchecks": {"disable": true}, "container_exists_attempts": 3,
    "labels": {"a": "b"}, "mounts": [{"type": "volume", "target": "/kept", "source": "norn-kept", "volume_options": {"labels": {"of": "norn"}}},
      {"type": "bind", "source": "local", "target": "/fixed", "readonly": true}]}'
  await wide running
  wait_for 60 'its container runs' one_container
  held wide
  jq -e '.HostConfig as $h | .Config.Labels.a == "b" and .Config.Labels["org.norn.task"] == "t" and .Config.OpenStdin and .Config.Entrypoint[0] == "sh" and
    $h.PidsLimit == 50 and $h.Memory == 134217728 and $h.MemoryReservation == 67108864 and $h.MemorySwap == $h.Memory and $h.CpuPeriod == 50000 and $h.CpuQuota > 0 and
    $h.ShmSize == 2097152 and $h.OomScoreAdj == 7 and $h.GroupAdd == ["1234"] and $h.LogConfig.Type == "json-file" and
    $h.Dns == ["10.9.9.9"] and $h.DnsSearch == ["corner.test"] and $h.DnsOptions == ["ndots:3"] and
    ([.Mounts[] | select(.Destination == "/kept")] | length == 1 and .[0].Type == "volume" and .[0].RW) and
    ([.Mounts[] | select(.Destination == "/fixed")] | length == 1 and .[0].Type == "bind" and (.[0].RW | not))' "$WORK/held.json" >/dev/null ||
    fail "it is told otherwise: $(jq -c '[.Config, .HostConfig, .Mounts]' "$WORK/held.json")"
  local wide pid
  wide=$(id_of wide) pid=$(jq .State.Pid "$WORK/held.json")
  (($(printf '%d' "0x$(sed -n 's/^CapBnd:.//p' "/proc/$pid/status")") & 1 << 13)) && fail 'it may use raw sockets (CAP_NET_RAW)'
  [ "$(cat "/proc/$pid/oom_score_adj") $(sed -n 's/^NoNewPrivs:.//p' "/proc/$pid/status")" = '7 1' ] || fail 'its score, or its privileges'
  touch "$WORK/$class/alloc/$wide/t/local/go"
  said() { [ "$(logs "$wide" | head -n 1)" = "done" ]; }
  wait_for 30 'it has said so' said
  "$NCTL" stop -detach wide >/dev/null
  await wide complete
  ask /volumes/norn-kept -X DELETE >/dev/null || fail 'its volume has gone with it'
}

# in_network JOB MODE [MORE]: a container that sleeps in it; prints the namespace it is in
in_network() {
  run_job "$1" service "$(jq -n --arg mode "$2" --argjson more "${3:-{\}}" '{image: "localhost/norn/box:1", command: "sh", args: ["-c", "trap \"exit 0\" TERM; while :; do sleep 0.05; done"], network_mode: $mode} + $more')"
  await "$1" running
  wait_for 60 'its container runs' holds "$1"
}
holds() { held "$1" && [ "$(jq .State.Running "$WORK/held.json")" = true ]; }
space() { readlink "/proc/$(jq .State.Pid "$WORK/held.json")/ns/net"; }
devices() { nsenter -t "$(jq .State.Pid "$WORK/held.json")" --net busybox ip -o link | wc -l; }
networks() {
  local peer
  note "$name: networks of the engine's"
  network='{}'
  in_network host host
  [ "$(space)" = "$(readlink "/proc/$spaces/ns/net")" ] || fail "it is not in the node's network"
  in_network alone none
  [ "$(space)" != "$(readlink "/proc/$spaces/ns/net")" ] && [ "$(devices)" = 1 ] || fail 'it is not alone'
  peer=$(space)
  in_network beside "container:t-$(id_of alone)"
  [ "$(space)" = "$peer" ] || fail 'it is not beside the other'
  ask /networks/create -X POST -H 'Content-Type: application/json' -d '{"Name": "own", "CheckDuplicate": true, "IPAM": {"Config": [{"Subnet": "10.77.5.0/24"}]}}' >/dev/null ||
    fail "$name makes no network"
  in_network placed own '{"ipv4_address": "10.77.5.9", "mac_address": "02:42:0a:4d:05:77", "network_aliases": ["friend", "${NOMAD_TASK_NAME}-${NOMAD_ALLOC_INDEX}"], "privileged": false}'
  jq -e '.NetworkSettings.Networks.own | .IPAddress == "10.77.5.9" and .MacAddress == "02:42:0a:4d:05:77" and (.Aliases | any(. == "friend") and any(. == "t-0"))' "$WORK/held.json" >/dev/null ||
    fail "where it is: $(jq -c .NetworkSettings.Networks "$WORK/held.json")"
  for peer in beside host alone placed; do
    "$NCTL" stop -detach "$peer" >/dev/null
    await "$peer" complete
  done
  wait_for 60 'no container' no_container
  ask /networks/own -X DELETE >/dev/null || fail "$name keeps the network"
  network='{"DynamicPorts": [{"Label": "web", "To": 8080}]}'
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
  user=web
  what_it_is_told
  what_the_engine_is_told
  networks
  user=web
  what_an_image_says
  memory
  ports
  while_it_runs
}
each_engine everything
