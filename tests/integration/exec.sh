#!/usr/bin/env bash
# Commands in running tasks: streams, exit codes, terminals, what ends them, and what goes over the websocket; and connections
# to their ports.
. "$(dirname "$0")/lib.sh"
suite_start ''
HERE=$(cd "$(dirname "$0")" && pwd)
export NO_COLOR=1 TERM=xterm NCTL WORK NORN_ADDR

isolates() { api GET /v1/nodes | jq -r '.[0].ID' | { read -r id && api GET "/v1/node/$id"; } | jq -e '.Drivers.exec.Healthy' >/dev/null; }
wait_for 60 'the node is ready' eval 'api GET /v1/nodes | jq -e ".[0].Status == \"ready\""'
tasks='["plain", "raw_exec"]'
if isolates; then
  tasks="$tasks, [\"walled\", \"exec\"]"
else
  note 'skipped: commands in tasks with a root of their own: this machine does not let us make any'
fi
cat >"$WORK/echo.py" <<'PY'
import os, socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b'bye')
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(('127.0.0.1', int(os.environ['NOMAD_PORT_echo'])), Echo).serve_forever()
PY
jq -n --argjson tasks "[$tasks]" --arg echo "$WORK/echo.py" '
  {Job: {ID: "home", Name: "home", Type: "service", Datacenters: ["dc1"], TaskGroups: [{Name: "group", Count: 1, EphemeralDisk: {SizeMB: 10},
    RestartPolicy: {Attempts: 0, Mode: "fail", Interval: 60000000000, Delay: 1000000000},
    Networks: [{DynamicPorts: [{Label: "echo"}, {Label: "nobody"}]}],
    Tasks: ([{Name: "echo", Driver: "raw_exec", Config: {command: "python3", args: [$echo]}, KillTimeout: 1000000000, Resources: {CPU: 20, MemoryMB: 32},
      LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}] + [$tasks[] | {Name: .[0], Driver: .[1], Env: {COLOR: ("of " + .[0])}, KillTimeout: 1000000000,
      Config: {command: "/bin/sleep", args: ["3600"]}, Resources: {CPU: 20, MemoryMB: 32}, LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}])}]}}' >"$WORK/home.json"
api PUT /v1/jobs "$(cat "$WORK/home.json")" >/dev/null
wait_for 60 'home runs' allocs_are home running 1
ID=$(allocs home | jq -r '.[0].ID')
wait_for 60 'its tasks run' eval 'api GET "/v1/allocation/$ID" | jq -e "[.TaskStates[].State] | all(. == \"running\")"'
export ID
in_task() { timeout 120 "$NCTL" alloc exec -t=false "$@"; }

for task in $(jq -r '.Job.TaskGroups[0].Tasks[].Name' "$WORK/home.json" | grep -v echo); do
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
  note 'with a root of its own: as the task, within its limits, and nothing more'
  in_task -i=false -task walled "$ID" cat /proc/self/cgroup >"$WORK/out"
  if grep -E ':(memory|pids|cpu|cpu,cpuacct|)?:' "$WORK/out" | grep -v "$ID"; then fail 'not in all cgroups of the task'; fi
  bounds=$(in_task -i=false -task walled "$ID" sed -n 's/^CapBnd:.//p' /proc/self/status)
  [ $((0x$bounds & ~0x200405fb)) = 0 ] || fail "it may be given $bounds"
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

note 'ports of the allocation, and no others'
"$NCTL" alloc port-forward "$ID" 0:echo 0:nobody 0:22 >"$WORK/ports" 2>"$WORK/err" &
forward=$!
wait_for 60 'the ports are there' eval '[ "$(grep -c "^Forwarding from" "$WORK/ports")" = 3 ]'
cat >"$WORK/talk.py" <<'PY'
import socket, sys, threading
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=60)
sent = bytes(range(256)) * int(sys.argv[2])
def send():
    try:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
threading.Thread(target=send, daemon=True).start()
got = b''
try:
    while data := s.recv(65536):
        got += data
except ConnectionResetError:
    pass
print('same' if got == sent + b'bye' else len(got))
PY
port_to() { sed -n "s/^Forwarding from 127.0.0.1:\([0-9]*\) to $1\$/\1/p" "$WORK/ports"; }
wait_for 60 'somebody listens' eval '[ "$(python3 "$WORK/talk.py" "$(port_to echo)" 1)" = same ]'
for n in 1 2 3; do python3 "$WORK/talk.py" "$(port_to echo)" 8000 >"$WORK/got.$n" & talks[$n]=$!; done
for n in 1 2 3; do wait "${talks[$n]}"; [ "$(cat "$WORK/got.$n")" = same ] || fail "connection $n got $(cat "$WORK/got.$n")"; done
[ "$(python3 "$WORK/talk.py" "$(port_to nobody)" 1)" = 0 ] && [ "$(python3 "$WORK/talk.py" "$(port_to 22)" 1)" = 0 ] || fail 'something came of nothing'
wait_for 60 'the reasons are said' grep -q "port 22 of the node is not the allocation's" "$WORK/err"
grep -q 'nobody listens at port .*refused' "$WORK/err" || fail "$(cat "$WORK/err")"
kill -TERM "$forward"
wait "$forward" || fail "port-forward exited $?"

note 'a task that ends takes the command with it'
"$NCTL" alloc exec -t=false -task plain "$ID" sh -c "echo \$\$ >$WORK/last; exec sleep 3600" </dev/null &
client=$!
wait_for 60 'the command runs' test -s "$WORK/last"
api PUT "/v1/allocation/$ID/stop" '{}' >/dev/null
status=0
wait "$client" || status=$?
[ "$status" = 137 ] || [ "$status" = 129 ] || fail "the client's exit code is $status"
wait_for 60 'the command has ended' gone "$(cat "$WORK/last")"
status=0
wait_for 60 'the task has ended' eval 'api GET "/v1/allocation/$ID" | jq -e ".TaskStates.plain.State == \"dead\""'
in_task -i=false -task plain "$ID" true 2>"$WORK/err" || status=$?
[ "$status $(cat "$WORK/err")" = '1 failed to exec into task: task "plain" is not running.' ] || fail "not running: $status $(cat "$WORK/err")"
[ -z "$(find /sys/fs/cgroup -maxdepth 4 -path "*$ID*" -name 'visit-*' 2>/dev/null)" ] || fail 'a cgroup was left behind'
suite_stop
