#!/usr/bin/env bash
# Parameterized jobs and jobs that wait for others, with real processes: the payload reaches the task, children beyond max_running wait
# for their turn, and a job runs when the one it depends on has completed.
. "$(dirname "$0")/lib.sh"
suite_start '' -clients 2
both_ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = 2 ]; }
wait_for 60 'both nodes are ready' both_ready

note 'a dispatch brings its metadata and its payload to the task'
"$NCTL" submit "$SOURCE/deploy/examples/dispatch.job" >/dev/null
echo 'good morning' | "$NCTL" dispatch -meta name=eve greet - >"$WORK/dispatched"
child=$(sed -n 's/^Dispatched Job ID = //p' "$WORK/dispatched")
wait_for 60 'the child has run' allocs_are "$child" complete 1
alloc=$(allocs "$child" | jq -r '.[0].ID')
said() { [ "$("$NCTL" logs "$alloc")" = $'eve\ngood morning' ]; }
wait_for 30 'it has said what it was sent' said

note 'one for every node runs once on each'
api PUT /v1/jobs "$(job_json sweep sysbatch 1 'cat local/wish' | jq -c '.Job.ParameterizedJob = {Payload: "required"} | .Job.TaskGroups[0].Tasks[0].DispatchPayload = {File: "wish"}')" >/dev/null
echo clean | "$NCTL" dispatch -detach sweep - >"$WORK/dispatched"
child=$(sed -n 's/^Dispatched Job ID = //p' "$WORK/dispatched")
wait_for 60 'the child has run on both nodes' allocs_are "$child" complete 2
allocs "$child" | jq -e '[.[].NodeID] | unique | length == 2' >/dev/null || fail 'twice on one node'
for alloc in $(allocs "$child" | jq -r '.[].ID'); do
  said() { [ "$("$NCTL" logs "$alloc")" = clean ]; }
  wait_for 30 'it has said what it was sent' said
done
dead() { [ "$(api GET "/v1/job/$child" | jq -r .Status)" = dead ]; }
wait_for 30 'the child is dead' dead

note 'beyond max_running children wait for their turn'
go=$WORK/go
slow=$(job_json slow batch 1 "until [ -e $go ]; do sleep 0.05; done" | jq -c '.Job.ParameterizedJob = {MaxRunning: 1}')
api PUT /v1/jobs "$slow" >/dev/null
for _ in 1 2 3; do "$NCTL" dispatch -detach slow >>"$WORK/slow"; done
[ "$(grep -c 'none yet: it waits for its turn' "$WORK/slow")" = 2 ] || fail "$(cat "$WORK/slow")"
first=$(sed -n '1s/^Dispatched Job ID = //p' "$WORK/slow")
wait_for 60 'the first one runs' allocs_are "$first" running 1
"$NCTL" status slow >"$WORK/status"
grep -Eq '^2 +0 +1 +0$' "$WORK/status" || fail "$(cat "$WORK/status")"
grep -Eq '^slow/dispatch-[0-9]+-[0-9a-f]{8} +pending \(waits for its turn\)$' "$WORK/status" || fail "$(cat "$WORK/status")"

note 'a job waits for another to complete'
after=$(job_json after batch 1 'exit 0' | jq -c --arg job "$first" '.Job.DependsOn = [{Job: $job, Condition: "complete"}]')
api PUT /v1/jobs "$after" >/dev/null
waits="waits for job \"$first\" to be complete (running)"
"$NCTL" status after | grep -Fq "$waits" || fail "$("$NCTL" status after)"
"$NCTL" why after | grep -Fq "Nothing is placed now: it $waits" || fail "$("$NCTL" why after)"
[ "$(allocs after)" = '[]' ] || fail 'it did not wait'
[ "$(api GET /v1/job/slow/summary | jq .Children.Waiting)" = 2 ] || fail "$(api GET /v1/job/slow/summary)"
touch "$go"
wait_for 60 'it has run' allocs_are after complete 1
all_dead() { [ "$(api GET /v1/job/slow/summary | jq .Children.Dead)" = 3 ]; }
wait_for 60 'each child has had its turn' all_dead

note 'a circle is refused and shown'
circle=$(job_json circle batch 1 'exit 0' | jq -c '.Job.DependsOn = [{Job: "circle", Condition: "healthy"}]')
refused=$(curl -sS -X PUT --data-binary "$circle" "$NORN_ADDR/v1/jobs")
grep -Fq 'circle -> circle' <<<"$refused" || fail "$refused"
suite_stop
