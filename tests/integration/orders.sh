#!/usr/bin/env bash
# Orders to tasks and nodes, with real processes: restart, signal, what is used, metadata that constraints see, collection.
. "$(dirname "$0")/lib.sh"
suite_start ''
node=$(api GET /v1/nodes | jq -r '.[0].ID')

note 'a task is restarted in its place, and hears a signal'
api PUT /v1/jobs "$(job_json svc service 1 'echo began; trap "echo usr1" USR1; while :; do sleep 0.05; done')" >/dev/null
wait_for 60 'it runs' allocs_are svc running 1
alloc=$(allocs svc | jq -r '.[0].ID')
log_has() { [ "$("$NCTL" logs "$alloc" | grep -c "^$1\$")" = "$2" ]; }
wait_for 30 'it began' log_has began 1
"$NCTL" alloc restart "$alloc" >"$WORK/out"
wait_for 60 'it began again' log_has began 2
restarts() { [ "$(api GET "/v1/allocation/$alloc" | jq '.TaskStates.task.Restarts')" = "$1" ]; }
wait_for 30 'the restart is counted' restarts 1
"$NCTL" alloc signal -s SIGUSR1 "$alloc" task
wait_for 30 'it heard the signal' log_has usr1 1
status_of() { curl -sS -o "$WORK/body" -w '%{http_code}' "$@"; }
[ "$(status_of -X PUT -d '{"Signal":"NOPE"}' "$NORN_ADDR/v1/client/allocation/$alloc/signal")" = 400 ] || fail "$(cat "$WORK/body")"
[ "$(status_of -X PUT -d '{"TaskName":"nope"}' "$NORN_ADDR/v1/client/allocation/$alloc/restart")" = 500 ] || fail "$(cat "$WORK/body")"
grep -Fxq 'Could not find task runner for task: nope' "$WORK/body" || fail "$(cat "$WORK/body")"
[ "$(status_of "$NORN_ADDR/v1/client/allocation/$alloc/bogus")" = 404 ] || fail 'an unknown action'

note 'what is used'
rss() { api GET "/v1/client/allocation/$alloc/stats" | jq -e '.Tasks.task.ResourceUsage.MemoryStats.RSS > 100000 and (.Tasks.task.Pids | length) > 0'; }
if api GET "/v1/client/allocation/$alloc/stats" | jq -e '.Tasks.task' >/dev/null; then
  wait_for 30 'the task uses memory' rss
else
  note 'skipped: without cgroups the processes of a task are not known'
fi
api GET "/v1/client/stats?node_id=$node" | jq -e '.Memory.Total > 0 and (.CPU | length) > 0 and .AllocDirStats.Size > 0' >/dev/null || fail 'the stats of the node'
[ "$(api GET "/v1/client/stats?node_id=$node" | jq '.CPU | length')" = "$(nproc --all)" ] || fail "cores: $(api GET "/v1/client/stats?node_id=$node")"
"$NCTL" node status -stats "$node" | grep -q '^Host Resource Utilization' || fail "$("$NCTL" node status -stats "$node")"

note 'metadata that is set while the node runs, which constraints see'
picky=$(job_json picky batch 1 'exit 0' | jq -c '.Job.Constraints = [{LTarget: "${meta.rack}", RTarget: "r7", Operand: "="}]')
api PUT /v1/jobs "$picky" >/dev/null
"$NCTL" node meta apply "$node" rack=r7 gone=soon
wait_for 60 'a job was waiting for it' allocs_are picky complete 1
"$NCTL" node meta apply -unset gone "$node"
[ "$("$NCTL" node meta read -json "$node" | jq -c '[.Meta.rack, .Dynamic.gone]')" = '["r7",null]' ] || fail "$("$NCTL" node meta read -json "$node")"

note 'templates that ask for metadata are rendered again when it changes'
# templated ID CHANGE-MODE
templated() {
  api PUT /v1/jobs "$(job_json "$1" service 1 'trap "echo heard \$(cat local/a)" USR1; echo began with $(cat local/a); while :; do sleep 0.05; done' |
    jq -c --arg mode "$2" '.Job.TaskGroups[0].Tasks[0].Templates = [{EmbeddedTmpl: "{{ env \"meta.colour\" }}", DestPath: "local/a",
      ChangeMode: $mode, ChangeSignal: (if $mode == "signal" then "SIGUSR1" else "" end), Splay: 0}]')" >/dev/null
}
says() { "$NCTL" logs "$(allocs "$1" | jq -r '.[0].ID')" | grep -Fxq "$2"; }
"$NCTL" node meta apply "$node" colour=red
templated by-signal signal
templated by-restart restart
templated by-noop noop
for id in by-signal by-restart by-noop; do wait_for 60 "$id began" says "$id" 'began with red'; done
"$NCTL" node meta apply "$node" colour=blue
wait_for 60 'it heard of it' says by-signal 'heard blue'
wait_for 60 'it began again' says by-restart 'began with blue'
noop=$(allocs by-noop | jq -r '.[0].ID')
[ "$("$NCTL" fs cat "$noop" task/local/a)" = blue ] || fail "$("$NCTL" fs cat "$noop" task/local/a)"
[ "$("$NCTL" logs "$noop")" = 'began with red' ] || fail "$("$NCTL" logs "$noop")"
event() { api GET "/v1/allocation/$(allocs by-restart | jq -r '.[0].ID')" | jq -r '.TaskStates.task.Events[].DisplayMessage' | grep -Fxq 'Template with change_mode restart re-rendered'; }
wait_for 30 'the event says why' event

note 'collection: what has ended goes, what runs stays'
done_alloc=$(allocs picky | jq -r '.[0].ID')
[ -d "$DIR/client-0/alloc/$done_alloc" ] || fail 'no directory'
[ "$(status_of "$NORN_ADDR/v1/client/allocation/$alloc/gc")" = 500 ] || fail 'one that runs was collected'
"$NCTL" node gc "$node"
is_gone() { [ ! -e "$DIR/client-0/alloc/$done_alloc" ]; }
wait_for 60 'its directory is gone' is_gone
[ -d "$DIR/client-0/alloc/$alloc" ] || fail 'the other one is gone too'
suite_stop
