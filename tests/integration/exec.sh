#!/usr/bin/env bash
# Commands in running tasks: streams, exit codes, terminals, what ends them, and what goes over the websocket.
. "$(dirname "$0")/lib.sh"
suite_start ''
HERE=$(cd "$(dirname "$0")" && pwd)
export NO_COLOR=1 NCTL WORK NORN_ADDR

isolates() { api GET /v1/nodes | jq -r '.[0].ID' | { read -r id && api GET "/v1/node/$id"; } | jq -e '.Drivers.exec.Healthy' >/dev/null; }
wait_for 60 'the node is ready' eval 'api GET /v1/nodes | jq -e ".[0].Status == \"ready\""'
tasks='["plain", "raw_exec"]'
if isolates; then
  tasks="$tasks, [\"walled\", \"exec\"]"
else
  note 'skipped: commands in tasks with a root of their own: this machine does not let us make any'
fi
jq -n --argjson tasks "[$tasks]" '
  {Job: {ID: "home", Name: "home", Type: "service", Datacenters: ["dc1"], TaskGroups: [{Name: "group", Count: 1, EphemeralDisk: {SizeMB: 10},
    RestartPolicy: {Attempts: 0, Mode: "fail", Interval: 60000000000, Delay: 1000000000},
    Tasks: [$tasks[] | {Name: .[0], Driver: .[1], Env: {COLOR: ("of " + .[0])}, KillTimeout: 1000000000,
      Config: {command: "/bin/sleep", args: ["3600"]}, Resources: {CPU: 20, MemoryMB: 32}, LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}' >"$WORK/home.json"
api PUT /v1/jobs "$(cat "$WORK/home.json")" >/dev/null
wait_for 60 'home runs' allocs_are home running 1
ID=$(allocs home | jq -r '.[0].ID')
wait_for 60 'its tasks run' eval 'api GET "/v1/allocation/$ID" | jq -e "[.TaskStates[].State] | all(. == \"running\")"'
export ID
in_task() { timeout 120 "$NCTL" alloc exec -t=false "$@"; }

for task in plain $(jq -r '.Job.TaskGroups[0].Tasks[].Name' "$WORK/home.json" | grep -v plain); do
  note "$task: streams, input and exit codes"
  status=0
  in_task -i=false -task "$task" "$ID" sh -c 'echo out; echo err >&2; exit 7' >"$WORK/out" 2>"$WORK/err" || status=$?
  [ "$status" = 7 ] || fail "exit code $status"
  [ "$(cat "$WORK/out") $(cat "$WORK/err")" = 'out err' ] || fail "streams: $(head "$WORK/out" "$WORK/err")"
  [ "$(printf 'one\ntwo\n' | in_task -task "$task" "$ID" cat)" = $'one\ntwo' ] || fail 'input did not come back'
  [ "$(head -c 3000000 /dev/zero | in_task -task "$task" "$ID" wc -c)" = 3000000 ] || fail 'input was lost'
  [ "$(in_task -i=false -task "$task" "$ID" head -c 3000000 /dev/zero | wc -c)" = 3000000 ] || fail 'output was lost'
  [ "$(in_task -i=false -task "$task" "$ID" sh -c 'echo $COLOR, $NOMAD_TASK_NAME')" = "of $task, $task" ] || fail 'not the environment of the task'
  status=0
  in_task -i=false -task "$task" "$ID" /no/such/program 2>"$WORK/err" || status=$?
  [ "$status" = 1 ] && grep -q 'fork/exec /no/such/program: no such file or directory' "$WORK/err" || fail "no such program: $status $(cat "$WORK/err")"
done
if isolates; then
  note 'with a root of its own: as the task, and nothing more'
  in_task -i=false -task walled "$ID" sh -c 'id -u; ls -d /local /alloc; grep -E "^(NoNewPrivs|Seccomp|CapEff):" /proc/self/status; cat /proc/1/comm' >"$WORK/out"
  [ "$(tr -s '\t\n' ' ' <"$WORK/out")" = "65534 /alloc /local CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 taskshim " ] ||
    [ "$(tr -s '\t\n' ' ' <"$WORK/out")" = "65534 /alloc /local CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 taskinit " ] || fail "inside: $(cat "$WORK/out")"
fi

note 'a client that is killed takes the command with it, and what the command started'
"$NCTL" alloc exec -t=false -task plain "$ID" sh -c "setsid sh -c 'echo \$\$ >$WORK/child; exec sleep 3600' & echo \$\$ >$WORK/parent; exec sleep 3600" </dev/null &
client=$!
wait_for 60 'the command runs' test -s "$WORK/child" -a -s "$WORK/parent"
kill -KILL "$client"
wait "$client" 2>/dev/null || true
wait_for 60 'the command has ended' gone "$(cat "$WORK/parent")"
wait_for 60 'what it started has ended' gone "$(cat "$WORK/child")"

note 'at a terminal, and over the wire'
python3 "$HERE/exec.py" "$ID" || fail 'see above'

note 'a task that ends takes the command with it'
"$NCTL" alloc exec -t=false -task plain "$ID" sh -c "echo \$\$ >$WORK/last; exec sleep 3600" </dev/null &
client=$!
wait_for 60 'the command runs' test -s "$WORK/last"
api PUT "/v1/allocation/$ID/stop" '{}' >/dev/null
status=0
wait "$client" || status=$?
[ "$status" = 137 ] || fail "the client's exit code is $status"
wait_for 60 'the command has ended' gone "$(cat "$WORK/last")"
status=0
wait_for 60 'the task has ended' eval 'api GET "/v1/allocation/$ID" | jq -e ".TaskStates.plain.State == \"dead\""'
in_task -i=false -task plain "$ID" true 2>"$WORK/err" || status=$?
[ "$status $(cat "$WORK/err")" = '1 failed to exec into task: task "plain" is not running.' ] || fail "not running: $status $(cat "$WORK/err")"
[ -z "$(find /sys/fs/cgroup -maxdepth 4 -path "*$ID*" -name 'visit-*' 2>/dev/null)" ] || fail 'a cgroup was left behind'
suite_stop
