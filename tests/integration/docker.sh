#!/usr/bin/env bash
# Driver docker with an engine of the test's own: what it is asked to make, output, exit codes, signals, adoption, commands, and that
# nothing is left behind.
. "$(dirname "$0")/lib.sh"
suite_start ''
engine=$WORK/engine.sock
python3 "$(dirname "$0")/fake_engine.py" "$engine" "$WORK/engine.txt" 2>"$WORK/engine.err" &
suites+=("$!")
wait_for 60 'the engine answers' curl -sf --unix-socket "$engine" http://engine/v1.40/version
start_agent() {
  "$BIN/nodeagent" --gateway "ipc://$DIR/run/gateway.sock" --gateway-poll "ipc://$DIR/run/gateway-poll.sock" --data-dir "$WORK/agent" \
    --name docks --node-class docks --docker-socket "$engine" --stop-tasks-on-exit true >>"$WORK/agent.log" 2>&1 &
  agent=$!
  suites+=("$agent")
}
start_agent
node_ready() { api GET /v1/nodes | jq -e '.[] | select(.Name == "docks" and .Status == "ready")' >/dev/null; }
wait_for 60 'the node is ready' node_ready
api GET /v1/nodes | jq -e '.[] | select(.Name == "docks") | .Drivers.docker.Healthy' >/dev/null || fail 'the driver is not healthy'

run_job() { # run_job ID TYPE CONFIG
  jq -n --arg id "$1" --arg type "$2" --argjson config "$3" '
    {Job: {ID: $id, Name: $id, Type: $type, Datacenters: ["dc1"], Constraints: [{LTarget: "${node.class}", RTarget: "docks", Operand: "="}],
      TaskGroups: [{Name: "g", Count: 1, EphemeralDisk: {SizeMB: 10}, ReschedulePolicy: {Attempts: 0, Unlimited: false},
        RestartPolicy: {Attempts: 0, Mode: "fail", Interval: 60000000000, Delay: 1000000000}, Networks: [{DynamicPorts: [{Label: "web", To: 8080}]}],
        Tasks: [{Name: "t", Driver: "docker", User: "web", Config: $config, Env: {COLOR: "red"}, KillTimeout: 20000000000,
          Resources: {CPU: 100, MemoryMB: 64}, LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}' >"$WORK/$1.json"
  api PUT /v1/jobs "$(cat "$WORK/$1.json")" >/dev/null
}
id_of() { allocs "$1" | jq -r '.[0].ID'; }
logs() { "$NCTL" alloc logs "$@"; }

note 'what a container is made of'
run_job words batch '{"image": "box:1", "command": "sh", "args": ["-c", "echo out $COLOR $NOMAD_TASK_NAME $NOMAD_TASK_DIR; echo err >&2; exit 3"], "ports": ["web"],
  "work_dir": "/", "cap_drop": ["mknod"], "volumes": ["data:/data:ro"], "labels": [{"a": "b"}], "readonly_rootfs": true, "memory_hard_limit": 128}'
wait_for 60 'it has ended' allocs_are words failed 1
words=$(id_of words)
said() { [ "$(logs "$words") $(logs -stderr "$words")" = 'out red t /local err' ]; }
wait_for 60 'its output is there' said
api GET "/v1/allocation/$words" | jq -e '[.TaskStates.t.Events[].DisplayMessage] | any(. == "Exit Code: 3")' >/dev/null || fail 'not exit code 3'
sed -n 's/^created //p' "$WORK/engine.txt" | head -1 >"$WORK/made.json"
port=$(api GET "/v1/allocation/$words" | jq -r '.AllocatedResources.Shared.Ports[0].Value')
jq -e --arg id "$words" --arg port "$port" --arg dir "$WORK/agent/alloc/$words" '
  .Image == "box:1" and .User == "web" and .WorkingDir == "/" and .Labels == {a: "b", "org.norn.alloc": $id, "org.norn.task": "t"} and
  .HostConfig.PortBindings["8080/tcp"] == [{HostPort: $port}] and .HostConfig.ReadonlyRootfs and .HostConfig.CapDrop == ["mknod"] and
  .HostConfig.Memory == 134217728 and .HostConfig.MemoryReservation == 67108864 and
  .HostConfig.Binds == [$dir + "/alloc:/alloc", $dir + "/t/local:/local", $dir + "/t/secrets:/secrets", $dir + "/t/data:/data:ro"] and
  (.Env | any(. == "COLOR=red")) and (.Env | all(startswith("PATH=") | not))' "$WORK/made.json" >/dev/null || fail "$(jq . "$WORK/made.json")"
wait_for 60 'it is taken away' grep -q "^removed t-$words" "$WORK/engine.txt"

note 'what cannot be made is said'
run_job missing batch '{"image": "nobody:2"}'
wait_for 60 'it has failed' allocs_are missing failed 1
why() { logs -stderr "$(id_of missing)" | grep -q 'pull nobody:2: nobody has it'; }
wait_for 60 'why is said' why
run_job wrong batch '{"image": "box:1", "volumes": ["/etc:/etc"]}'
wait_for 60 'it is refused' allocs_are wrong failed 1
api GET "/v1/allocation/$(id_of wrong)" | grep -q 'must be one of its host volumes' || fail 'not why a directory of the node is refused'

note 'it runs on while the agent is away, and hears signals'
run_job long service '{"image": "box:1", "command": "sh", "args": ["-c", "trap \"echo caught; exit 0\" TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"]}'
wait_for 60 'it runs' allocs_are long running 1
long=$(id_of long)
kill -KILL "$agent"
wait "$agent" 2>/dev/null || true
start_agent
lines() { [ "$(logs "$long" | grep -c '^line')" -gt "$1" ]; }
wait_for 60 'its output goes on' lines 30
[ "$(grep -c "created.*$long" "$WORK/engine.txt")" = 1 ] || fail 'it was made twice'

note 'commands run in it, and end with their client'
status=0
echo in | "$NCTL" alloc exec -t=false "$long" sh -c 'cat; echo err >&2; exit 6' >"$WORK/out" 2>"$WORK/err" || status=$?
[ "$status $(cat "$WORK/out" "$WORK/err")" = $'6 in\nerr' ] || fail "a command: $status $(cat "$WORK/out" "$WORK/err")"
[ "$(head -c 1000000 /dev/zero | "$NCTL" alloc exec -t=false "$long" wc -c)" = 1000000 ] || fail 'input was lost'
"$NCTL" alloc exec -t=false "$long" sh -c "sleep 3600 & echo \$! >$WORK/command; wait" </dev/null &
client=$!
wait_for 60 'the command runs' test -s "$WORK/command"
kill -KILL "$client"
wait "$client" 2>/dev/null || true
wait_for 60 'the command has ended' gone "$(cat "$WORK/command")"

"$NCTL" stop -detach long >/dev/null
wait_for 60 'it has ended' allocs_are long complete 1
[ "$(logs "$long" | tail -n 1)" = caught ] || fail "the last it said: $(logs "$long" | tail -n 1)"

note 'what is killed leaves no container'
run_job killed service '{"image": "box:1", "command": "sleep", "args": ["3600"]}'
wait_for 60 'it runs' allocs_are killed running 1
killed=$(id_of killed)
made() { grep -q "created.*$killed" "$WORK/engine.txt"; }
wait_for 60 'its container is there' made
pkill -KILL -f "^taskdock run $engine t-$killed" || fail 'there is no taskdock'
wait_for 60 'it has failed' allocs_are killed failed 1
wait_for 60 'its container has gone' grep -q "^removed t-$killed" "$WORK/engine.txt"
[ "$(curl -s --unix-socket "$engine" 'http://engine/v1.40/containers/json?filters=%7B%22label%22%3A%5B%22org.norn.task%3Dt%22%5D%7D')" = '[]' ] || fail 'containers are left'
[ ! -s "$WORK/engine.err" ] || grep -q BrokenPipe "$WORK/engine.err" || fail "the engine: $(tail -n 3 "$WORK/engine.err")"
suite_stop
