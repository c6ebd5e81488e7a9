#!/usr/bin/env bash
# An agent that is not root: what it runs and answers as an ordinary user, driver exec in a user namespace, and what it says of
# what it cannot do. As root the test runs itself once more as somebody else, in cgroups that were delegated.
if [ "$(id -u)" = 0 ]; then
  command -v setpriv >/dev/null || { echo 'skipped: there is no setpriv'; exit 77; }
  set -euo pipefail
  stage=$(mktemp -d /tmp/norn-rootless-XXXXXX) delegated='' status=0
  two=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
  if [ -n "$two" ] && mkdir "$two/norn-test-$$" 2>/dev/null; then
    delegated=$two/norn-test-$$
    mkdir "$delegated/agent"
    chown -R 64123:64123 "$delegated"
  fi
  leave() {
    rm -rf "$stage"
    [ -z "$delegated" ] || find "$delegated" -depth -type d -exec rmdir {} + 2>/dev/null || true
  }
  trap leave EXIT
  # Where the sources are it may not look.
  mkdir "$stage/bin" "$stage/home" "$stage/tests" "$stage/tmp"
  cp -L "$BIN"/* "$stage/bin/"
  cp "$0" "$(dirname "$0")/lib.sh" "$stage/tests/"
  chmod 755 "$stage" "$stage"/*
  chown 64123:64123 "$stage/home" "$stage/tmp"
  # A kernel that gives a user no namespaces; the one that is told so is in a namespace itself.
  mkfifo "$stage/go"
  unshare -U bash -c 'read -r _ <"$0/go"; exec bash -c "echo 0 >/proc/sys/user/max_user_namespaces &&
    exec setpriv --reuid 64123 --regid 64123 --clear-groups $0/bin/taskshim --can-isolate"' "$stage" >"$stage/said" &
  confined=$!
  for ((i = 0; i < 600; i++)); do
    [ "$(readlink "/proc/$confined/ns/user")" = "$(readlink /proc/self/ns/user)" ] && kill -0 "$confined" 2>/dev/null || break
    sleep 0.05
  done
  if kill -0 "$confined" 2>/dev/null; then
    echo '0 0 70000' >"/proc/$confined/uid_map"
    echo '0 0 70000' >"/proc/$confined/gid_map"
    echo >"$stage/go"
    wait "$confined" || status=$?
    [ "$status" = 1 ] && grep -qx 'the agent does not run as root, and the kernel gives it no user namespace' "$stage/said" || {
      echo "FAILED: without user namespaces: $status $(cat "$stage/said")" >&2
      exit 1
    }
    status=0
  fi
  HOME=$stage/home BIN=$stage/bin SOURCE=$stage DELEGATED=$delegated bash -c '
    [ -z "$DELEGATED" ] || echo $$ >"$DELEGATED/agent/cgroup.procs"
    cd "$HOME" && exec setpriv --reuid 64123 --regid 64123 --clear-groups --bounding-set -all bash "$0"' "$stage/tests/$(basename "$0")" || status=$?
  exit "$status"
fi
. "$(dirname "$0")/lib.sh"
suite_start ''
node=$(api GET /v1/nodes | jq -r '.[0].ID')
is() { api GET "/v1/node/$node" | jq -e "$1" >/dev/null; }
wait_for 60 'the node is ready' is '.Status == "ready"'
log=$DIR/log/nodeagent-0.log

note 'what it says of itself'
is '.Drivers | .raw_exec.Healthy and .mock.Healthy' || fail 'raw_exec or mock is not healthy'
is '.Attributes["network.bridge.unhealthy"] == "the agent does not run as root"' || fail 'nothing is said of networks'
if [ -n "${DELEGATED:-}" ]; then
  grep -q 'event=node .*tree=cgroup2' "$log" || fail "the delegated cgroups are not used: $(grep event=node "$log")"
else
  note 'skipped: cgroups that are delegated: there is no cgroup2 to do it with'
fi

echo 'brought along' >"$WORK/note.txt"
cat >"$WORK/serve.py" <<'PY'
import os, socketserver
class Greet(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b'hello')
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(('127.0.0.1', int(os.environ['NOMAD_PORT_greet'])), Greet).serve_forever()
PY
# job ID DRIVER COMMAND: what people ask for; jq's $sum is that of the artifact
job() {
  jq -n --arg id "$1" --arg driver "$2" --arg command "$3" --arg note "$WORK/note.txt" --arg me "${4:-}" '
    {Job: {ID: $id, Name: $id, Type: "service", Datacenters: ["dc1"], TaskGroups: [{Name: "group", Count: 1, EphemeralDisk: {SizeMB: 10},
      RestartPolicy: {Attempts: 0, Mode: "fail", Interval: 60000000000, Delay: 1000000000}, Networks: [{DynamicPorts: [{Label: "greet"}]}],
      Tasks: [{Name: "task", Driver: $driver, User: $me, Config: {command: "/bin/sh", args: ["-c", $command]}, Resources: {CPU: 20, MemoryMB: 64},
        Artifacts: [{GetterSource: ("file://" + $note), RelativeDest: "local/"}], KillTimeout: 1000000000,
        Templates: [{EmbeddedTmpl: "node is {{ env \"node.unique.name\" }}\n", DestPath: "local/conf"}], LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}'
}
alloc_of() { allocs "$1" | jq -r '.[0].ID'; }
out() { timeout 60 "$NCTL" alloc logs "$1"; }
says() { out "$1" | grep -x "$2" >/dev/null; }
fails_with() { allocs "$1" | jq -e --arg t "$2" '[.[].TaskStates.task.Events[].DisplayMessage | select(contains($t))] | length > 0' >/dev/null; }

note 'raw_exec: files, templates, logs, commands, numbers, ports'
api PUT /v1/jobs "$(job plain raw_exec "cat local/note.txt local/conf; id -u; exec python3 '$WORK/serve.py'")" >/dev/null
wait_for 60 'plain runs' allocs_are plain running 1
ID=$(alloc_of plain)
wait_for 60 'its output comes' says "$ID" "$(id -u)"
says "$ID" 'brought along' || fail "artifact: $(out "$ID")"
says "$ID" 'node is .*' || fail "template: $(out "$ID")"
"$NCTL" alloc fs "$ID" task/local/note.txt | grep -x 'brought along' >/dev/null || fail 'alloc fs'
[ "$("$NCTL" alloc exec -i=false -t=false "$ID" sh -c 'cat local/note.txt; exit 0')" = 'brought along' ] || fail 'alloc exec'
api GET "/v1/client/allocation/$ID/stats" | jq -e '.ResourceUsage.MemoryStats.RSS > 0' >/dev/null || fail 'alloc stats'
"$NCTL" alloc port-forward "$ID" greet >"$WORK/forward" 2>&1 &
forward=$!
wait_for 60 'the port is forwarded' grep -qE '127\.0\.0\.1:[0-9]+' "$WORK/forward"
port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$WORK/forward" | head -n 1 | cut -d: -f2)
greeted() { [ "$(timeout 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; head -c 5 <&3")" = hello ]; }
wait_for 60 'somebody answers through it' greeted
kill "$forward"
wait "$forward" 2>/dev/null || true

note 'what only root can do is refused with the reason'
api PUT /v1/jobs "$(job other raw_exec 'id' root)" >/dev/null
wait_for 60 'a task of root fails' fails_with other 'the agent does not run as root and cannot run a task as user "root"'
api PUT /v1/jobs "$(job bridged raw_exec 'exec sleep 3600' | jq '.Job.TaskGroups[0].Networks[0].Mode = "bridge"')" >/dev/null
unplaced() { api GET '/v1/job/bridged/evaluations' | jq -e '[.[] | select(.FailedTGAllocs.group.NodesFiltered > 0)] | length > 0' >/dev/null; }
wait_for 60 'a network of its own finds no node' unplaced

if is '.Drivers.exec.Healthy | not'; then
  is '.Attributes["driver.exec.unhealthy"] | length > 0' || fail 'exec does not say why it does not work'
  note "skipped: driver exec: $(api GET "/v1/node/$node" | jq -r '.Attributes["driver.exec.unhealthy"]')"
  suite_stop
  exit 0
fi

note 'exec: in a user namespace, as the agent is'
is '.Attributes["driver.exec.rootless"] == "1"' || fail 'it does not say that it is rootless'
is '.Attributes["driver.exec.unenforced"] | contains("memory")' || note 'memory limits are kept here'
api PUT /v1/jobs "$(job walled exec 'cat local/note.txt local/conf; id -u; echo "first $$"; ls -d /alloc /local /secrets /sys/kernel; grep -E "^(NoNewPrivs|Seccomp|CapEff):" /proc/self/status
  cat /proc/self/uid_map; for f in /usr/mine /mine /etc/mine; do touch $f 2>/dev/null && echo "wrote $f"; done; echo mine >/local/mine && cat /local/mine
  ls '"$HOME"' 2>/dev/null && echo home; unshare -U true 2>/dev/null && echo nested; exec sleep 3600')" >/dev/null
wait_for 60 'walled runs' allocs_are walled running 1
WALLED=$(alloc_of walled)
wait_for 60 'its output comes' says "$WALLED" mine
in_task() { timeout 120 "$NCTL" alloc exec -i=false -t=false "$WALLED" "$@"; }
out "$WALLED" | tr -s ' \t\n' ' ' >"$WORK/said"
want="brought along node is $(api GET "/v1/node/$node" | jq -r .Name)"
grep -qE "^$want ?$(id -u) first [0-9]+ /alloc /local /secrets /sys/kernel CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 $(id -u) $(id -u) 1 mine $" "$WORK/said" ||
  fail "inside: $(cat "$WORK/said")"
pid=$(pgrep -u "$(id -u)" -x taskinit | head -n 1)
for kind in user mnt pid ipc; do
  [ "$(readlink "/proc/$pid/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")" ] || fail "no $kind namespace of its own"
done
in_task sh -c 'cat /proc/1/comm; id -u; grep -E "^(NoNewPrivs|Seccomp|CapEff):" /proc/self/status; touch /usr/mine 2>/dev/null || echo kept' | tr -s ' \t\n' ' ' >"$WORK/visit"
[ "$(cat "$WORK/visit")" = "taskinit $(id -u) CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 kept " ] || fail "a command inside: $(cat "$WORK/visit")"
api GET "/v1/client/allocation/$WALLED/stats" | jq -e '.ResourceUsage.MemoryStats.RSS > 0' >/dev/null || fail 'stats of exec'

note 'an agent that is killed finds it again; it ends whole'
kill -KILL "$(pid_of nodeagent-0)"
back() { [ "$(grep -c event=node_registered "$log")" -ge 2 ]; }
wait_for 60 'the agent is back' back
[ "$(in_task cat /local/mine)" = mine ] || fail 'the task is not found again'
api DELETE /v1/job/walled >/dev/null
wait_for 60 'walled has ended' allocs_are walled complete 1
gone_all() { ! pgrep -u "$(id -u)" -x taskinit >/dev/null; }
wait_for 60 'nothing is left of it' gone_all
api PUT /v1/jobs "$(job stray exec 'exec sleep 3600' nobody)" >/dev/null
wait_for 60 'exec as somebody else fails' fails_with stray 'cannot run a task as user "nobody"'
suite_stop
