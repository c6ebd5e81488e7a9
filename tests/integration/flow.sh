#!/usr/bin/env bash
# What a user does: submit, status, logs, files, scale, update, stop, purge; a job that waits for room; exit codes.
. "$(dirname "$0")/lib.sh"
suite_start ''
hello=$SOURCE/deploy/examples/hello.job

note 'submit, and follow it to a running task'
"$NCTL" validate "$hello" >/dev/null || fail 'hello.job is not valid'
"$NCTL" submit -verbose "$hello" >"$WORK/out" || fail "submit: $(cat "$WORK/out")"
wait_for 10 'hello runs' allocs_are hello running 1
alloc=$(allocs hello | jq -r '.[0].ID')
"$NCTL" status >"$WORK/out" && grep -q hello "$WORK/out" || fail 'status does not list hello'
"$NCTL" status hello >"$WORK/out" && grep -q running "$WORK/out" || fail 'status hello does not say running'
"$NCTL" status -json hello | jq -e . >/dev/null || fail 'status -json is not JSON'
"$NCTL" alloc status "${alloc:0:18}" >"$WORK/out" && grep -q Started "$WORK/out" || fail 'alloc status shows no Started'

note 'its output and its files'
has_output() { [ -n "$("$NCTL" alloc logs "$alloc")" ]; }
wait_for 10 'hello prints something' has_output
task=$(api GET "/v1/allocation/$alloc" | jq -r '.TaskStates | keys[0]')
[ "$("$NCTL" fs cat "$alloc" "alloc/logs/$task.stdout.0" | head -n 1)" = "$("$NCTL" alloc logs "$alloc" "$task" | head -n 1)" ] ||
  fail 'fs cat and alloc logs differ'
"$NCTL" fs ls "$alloc" / >"$WORK/out" && grep -q alloc "$WORK/out" || fail "fs ls: $(cat "$WORK/out")"
"$NCTL" fs stat "$alloc" alloc >/dev/null || fail 'fs stat'

note 'node and evaluation'
node=$(api GET /v1/nodes | jq -r '.[0].ID')
"$NCTL" node status | grep -q ready || fail 'node status'
"$NCTL" node status "${node:0:18}" >/dev/null || fail 'node status ID'
eval=$(api GET /v1/job/hello/evaluations | jq -r '.[0].ID')
"$NCTL" eval status "${eval:0:18}" | grep -q complete || fail 'eval status'

note 'the same again changes nothing'
before=$(api GET /v1/job/hello | jq .Version)
"$NCTL" submit -detach "$hello" >/dev/null
[ "$(api GET /v1/job/hello | jq .Version)" = "$before" ] || fail 'an unchanged job has a new version'

note 'scale up, down: the highest index goes first'
submit web service 3 'exec sleep 3600' >/dev/null
wait_for 15 'three run' allocs_are web running 3
submit web service 5 'exec sleep 3600' >/dev/null
wait_for 15 'five run' allocs_are web running 5
submit web service 2 'exec sleep 3600' >/dev/null
wait_for 15 'two run' allocs_are web running 2
[ "$(allocs web | jq -c '[.[] | select(.ClientStatus == "running") | .Name] | sort')" = '["web.group[0]","web.group[1]"]' ] ||
  fail "wrong ones were kept: $(allocs web | jq -c '[.[] | [.Name, .ClientStatus]]')"

note 'a changed task is replaced'
old=$(allocs web | jq -c '[.[] | select(.ClientStatus == "running") | .ID] | sort')
submit web service 2 'exec sleep 7200' >/dev/null
replaced() {
  allocs_are web running 2 && [ "$(allocs web | jq -c '[.[] | select(.ClientStatus == "running") | .ID] | sort')" != "$old" ] &&
    [ "$(allocs web | jq '[.[] | select(.ClientStatus == "running" and .JobVersion == 3)] | length')" = 2 ]
}
wait_for 20 'both are replaced' replaced

note 'batch: exit codes, failure, restart policy'
submit good batch 1 'exit 0' >/dev/null
submit bad batch 1 'exit 3' >/dev/null
wait_for 15 'good completes' allocs_are good complete 1
wait_for 15 'bad fails' allocs_are bad failed 1
failed=$(allocs bad | jq -r '.[0].ID')
api GET "/v1/allocation/$failed" | jq -e '[.TaskStates.task.Events[] | select(.Type == "Terminated" and .ExitCode == 3)] | length == 1' >/dev/null ||
  fail 'no Terminated event with exit code 3'

note 'a job that does not fit waits, and runs when there is room'
mhz=$(api GET "/v1/node/$node" | jq '.NodeResources.Cpu.CpuShares // .Resources.CPU')
submit big batch 1 'exec sleep 3600' $((mhz * 6 / 10)) >/dev/null
wait_for 15 'the first runs' allocs_are big running 1
submit late batch 1 'exit 0' $((mhz * 6 / 10)) >/dev/null
blocked() { [ "$(api GET /v1/job/late/evaluations | jq '[.[] | select(.Status == "blocked")] | length')" = 1 ]; }
wait_for 15 'the second is blocked' blocked
"$NCTL" status late | grep -qi 'placement\|blocked\|exhausted' || fail 'status does not say why late does not run'
"$NCTL" stop -detach big >/dev/null
wait_for 20 'the second runs after all' allocs_are late complete 1

note 'stop and purge'
"$NCTL" stop web >/dev/null || fail 'stop'
is_dead() { [ "$(api GET /v1/job/web | jq -r .Status)" = dead ]; }
wait_for 15 'web is dead' is_dead
[ "$(api GET /v1/job/web | jq .Stop)" = true ] || fail 'web is not stopped'
"$NCTL" stop -purge web >/dev/null || fail 'stop -purge'
[ "$(status_of GET /v1/job/web)" = 404 ] || fail 'web is still there after a purge'

note 'exit codes and messages'
for words in 'status nothere' 'stop nothere' 'alloc status 00000000' 'alloc logs ffffffff' 'node status 00000000' 'eval status 00000000' \
  'submit /nonexistent.job' 'nosuchcommand' 'fs cat ffffffff /x' 'submit' 'status -nosuchflag'; do
  # shellcheck disable=SC2086
  if "$NCTL" $words >"$WORK/out" 2>&1; then fail "nctl $words exits 0"; fi
  [ -s "$WORK/out" ] || fail "nctl $words fails without a word"
done
if NORN_ADDR=http://127.0.0.1:1 "$NCTL" status >"$WORK/out" 2>&1; then fail 'no gateway, and exit 0'; fi
grep -q '127.0.0.1:1' "$WORK/out" || fail 'the message does not name the address'
suite_stop
