#!/usr/bin/env bash
# The disk of an allocation goes with it: on its node from version to version, and to another node when its own is drained.
. "$(dirname "$0")/lib.sh"
suite_start '' -clients 2
both_ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = 2 ]; }
wait_for 60 'both nodes are ready' both_ready
# Each start writes a line, and each end: what were moved too early would lack that.
script='echo $NOMAD_ALLOC_ID >> local/starts; cp local/starts ../alloc/data/; trap "echo end >> local/ends; exit 0" INT; while :; do sleep 0.1; done'
# sticky FILTER: registers the job, changed by jq
sticky() {
  api PUT /v1/jobs "$(job_json db service 1 "$script" | jq ".Job.TaskGroups[0].EphemeralDisk = {SizeMB: 20, Sticky: true, Migrate: true} |
    .Job.TaskGroups[0].Migrate = {MaxParallel: 1, HealthCheck: \"task_states\", MinHealthyTime: 0, HealthyDeadline: 300000000000} | $1")" >/dev/null
}
running() { allocs db | jq -r '[.[] | select(.ClientStatus == "running" and .DesiredStatus == "run")] | if length == 1 then .[0] | .ID + " " + .NodeID else "" end'; }
runs_anew() { at=$(running) && [ -n "$at" ] && [ "${at%% *}" != "${was%% *}" ]; }
cat_file() { api GET "/v1/client/fs/cat/${at%% *}?path=$1" 2>/dev/null || true; }
has() { [ "$(cat_file "$1")" = "$2" ]; }

note 'a new version is on the same node, with what the old one wrote to its end'
was=' '
sticky .
wait_for 60 'it runs' runs_anew
first=$at was=$at
wait_for 60 'it has written' has task/local/starts "${first%% *}"
sticky '.Job.TaskGroups[0].Tasks[0].Env = {V: "2"}'
wait_for 60 'the next one runs' runs_anew
second=$at was=$at
[ "${second##* }" = "${first##* }" ] || fail 'it is on another node'
wait_for 60 'it has written' has task/local/starts "${first%% *}
${second%% *}"

note 'its disk is a tar'
curl -sS -D "$WORK/head" -o "$WORK/disk.tar" "$NORN_ADDR/v1/client/allocation/${second%% *}/snapshot" || fail 'no snapshot'
tr -d '\r' <"$WORK/head" | grep -qx 'Content-Type: application/octet-stream' || fail "$(cat "$WORK/head")"
[ "$(tar tf "$WORK/disk.tar" | LC_ALL=C sort | tr '\n' ' ')" = '.complete alloc/data/ alloc/data/starts task/local/ task/local/ends task/local/starts ' ] || fail "$(tar tf "$WORK/disk.tar")"
[ "$(tar xOf "$WORK/disk.tar" task/local/starts | tail -n 1)" = "${second%% *}" ] || fail 'another content'
[ "$(status_of GET "/v1/client/allocation/00000000-0000-0000-0000-000000000000/snapshot")" = 404 ] || fail 'of an allocation that is not there'
[ "$(status_of GET "/v1/client/allocation/nonsense/snapshot")" = 400 ] || fail 'of no allocation'

note 'drained, it takes its disk to the other node'
"$NCTL" node drain -enable -detach "${second##* }" >/dev/null || fail 'node drain'
wait_for 90 'it runs on the other node' runs_anew
[ "${at##* }" != "${second##* }" ] || fail 'it is where it was'
wait_for 60 'it has all of it' has task/local/starts "${first%% *}
${second%% *}
${at%% *}"
wait_for 60 'and what was written at the end' has task/local/ends 'end
end'
api GET "/v1/allocation/${at%% *}" | jq -e '[.TaskStates.task.Events[].Type] | index("Disk Not Moved") == null' >/dev/null ||
  fail "$(api GET "/v1/allocation/${at%% *}" | jq -c '[.TaskStates.task.Events[] | [.Type, .DisplayMessage]]')"
suite_stop
