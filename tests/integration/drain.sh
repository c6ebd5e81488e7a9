#!/usr/bin/env bash
# A node that is being drained: services move a few at a time, batch and system jobs as they should; force; calling it off.
. "$(dirname "$0")/lib.sh"
suite_start '' -clients 2
both_ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = 2 ]; }
wait_for 60 'both nodes are ready' both_ready
first=$(api GET /v1/nodes | jq -r '.[0].ID') second=$(api GET /v1/nodes | jq -r '.[1].ID')

note 'eligibility'
"$NCTL" node eligibility -disable "${second:0:18}" >"$WORK/out" || fail 'node eligibility -disable'
[ "$(cat "$WORK/out")" = "Node \"$second\" scheduling eligibility set: ineligible for scheduling" ] || fail "says: $(cat "$WORK/out")"
[ "$(api PUT "/v1/node/$second/eligibility" '{"Eligibility": "ineligible"}')" = '{"EvalCreateIndex":0,"EvalIDs":null,"Index":0,"NodeModifyIndex":0}' ] ||
  fail 'what was so before is not told so'
[ "$(status_of PUT "/v1/node/$second/eligibility" --data '{"Eligibility": "maybe"}')" = 500 ] || fail 'a bad eligibility is taken'
[ "$(cat "$WORK/body")" = 'invalid scheduling eligibility "maybe"' ] || fail "says: $(cat "$WORK/body")"
[ "$(status_of PUT /v1/node/00000000-0000-0000-0000-000000000000/drain --data '{"DrainSpec": {"Deadline": 0}}')" = 500 ] ||
  fail 'a node that is not there is drained'
[ "$(cat "$WORK/body")" = 'node not found' ] || fail "says: $(cat "$WORK/body")"
[ "$(status_of PUT "/v1/node/$first/drain" --data '{"DrainSpec": {"Deadline": "1h"}}')" = 400 ] || fail 'a deadline of letters is taken'

note 'all that runs is on the one that takes work'
api PUT /v1/jobs "$(job_json web service 4 'exec sleep 3600' |
  jq '.Job.TaskGroups[0].Migrate = {MaxParallel: 2, HealthCheck: "task_states", MinHealthyTime: 0, HealthyDeadline: 300000000000}')" >/dev/null
submit sum batch 1 "while [ ! -e $WORK/go ]; do sleep 0.1; done" >/dev/null
submit each system 1 'exec sleep 3600' >/dev/null
wait_for 60 'web runs' allocs_are web running 4
wait_for 60 'sum runs' allocs_are sum running 1
wait_for 60 'each runs' allocs_are each running 1
on() { allocs "$2" | jq --arg n "$1" '[.[] | select(.ClientStatus == "running" and .NodeID == $n)] | length'; }
[ "$(on "$first" web)" = 4 ] || fail 'web is on a node that takes no work'
"$NCTL" node eligibility -enable "$second" >/dev/null
wait_for 60 'each runs on both' allocs_are each running 2

note 'a drain moves the service, two at a time, and waits for the batch job'
# How many run is looked at all the while, from beside.
(while [ ! -e "$WORK/stop" ]; do
  allocs web | jq '[.[] | select(.ClientStatus == "running" and .DesiredStatus == "run")] | length' >>"$WORK/seen" 2>/dev/null || true
  sleep 0.05
done) &
watcher=$!
"$NCTL" node drain -enable -detach -m 'new disks' "$first" >"$WORK/out" || fail 'node drain -enable'
[ "$(cat "$WORK/out")" = "Node \"$first\" drain strategy set" ] || fail "says: $(cat "$WORK/out")"
[ "$(status_of PUT "/v1/node/$first/eligibility" --data '{"Eligibility": "eligible"}')" = 500 ] || fail 'eligible while it is drained'
moved() { [ "$(on "$second" web)" = 4 ] && [ "$(on "$first" web)" = 0 ]; }
wait_for 90 'web has moved' moved
touch "$WORK/stop"
wait "$watcher"
[ "$(sort -n "$WORK/seen" | head -n 1)" -ge 2 ] || fail "web fell below two: $(sort -n "$WORK/seen" | uniq -c)"
allocs web | jq -e '[.[] | select(.DesiredTransition.Migrate and .DesiredDescription == "alloc is being migrated" and .DesiredStatus == "stop")] | length == 4' \
  >/dev/null || fail "$(allocs web | jq -c '[.[] | [.DesiredTransition, .DesiredDescription]]')"
[ "$(on "$first" sum)$(on "$first" each)" = 11 ] || fail 'the batch or the system job did not wait'
api GET "/v1/node/$first" | jq -e '.Drain and .DrainStrategy.Deadline == 3600000000000 and .LastDrain.Status == "draining" and
  .LastDrain.Meta.message == "new disks" and .SchedulingEligibility == "ineligible"' >/dev/null || fail "$(api GET "/v1/node/$first" | jq -c .LastDrain)"

note 'the batch job ends, the system job goes, the drain is over'
"$NCTL" node drain -monitor "$first" >"$WORK/monitor" 2>&1 &
monitor=$!
touch "$WORK/go"
drained() { api GET "/v1/node/$first" | jq -e '(.Drain | not) and .DrainStrategy == null and .LastDrain.Status == "complete"' >/dev/null; }
wait_for 60 'the drain is over' drained
wait_for 60 'the system job is gone from it' allocs_are each running 1
[ "$(on "$second" each)" = 1 ] || fail 'the system job left the other node'
allocs_are sum complete 1 || fail 'the batch job did not end by itself'
wait_for 60 'the monitor ends' gone "$monitor"
wait "$monitor" || fail "the monitor: $(cat "$WORK/monitor")"
grep -q "Drain complete for node $first" "$WORK/monitor" && grep -q 'have stopped' "$WORK/monitor" || fail "the monitor: $(cat "$WORK/monitor")"
"$NCTL" node status "$first" | grep -q 'Drain  *Node drain complete' || fail 'no event tells of it'

note 'a drain is called off: the node takes work again; a leader that has just begun goes on with one'
"$NCTL" node drain -enable -detach -no-deadline "$second" >/dev/null
"$NCTL" node drain -disable "$second" >/dev/null || fail 'node drain -disable'
api GET "/v1/node/$second" | jq -e '(.Drain | not) and .LastDrain.Status == "canceled" and .SchedulingEligibility == "eligible"' >/dev/null ||
  fail "$(api GET "/v1/node/$second" | jq -c .LastDrain)"
"$NCTL" node eligibility -enable "$first" >/dev/null
wait_for 60 'each runs on both again' allocs_are each running 2
kill -KILL "$(pid_of controller)"
"$NCTL" node drain -enable -detach -force "$second" >/dev/null
forced() { [ "$(on "$first" web)" = 4 ] && [ "$(on "$second" web)" = 0 ]; }
wait_for 90 'all is on the first again' forced

note 'past the deadline what nothing else takes stops, and runs again where there is room'
web() { allocs web | jq '[.[] | select(.ClientStatus == "running" and .DesiredStatus == "run")] | length'; }
"$NCTL" node drain -enable -detach -deadline 3s "$first" >/dev/null
over() { api GET "/v1/node/$first" | jq -e '(.Drain | not) and .LastDrain.Status == "complete"' >/dev/null; }
wait_for 60 'the drain ends though nothing could move' over
[ "$(web)" = 0 ] || fail "$(allocs web | jq -c '[.[] | [.ClientStatus, .DesiredStatus, .DesiredDescription]]')"
wait_for 60 'the first takes work again' "$NCTL" node eligibility -enable "$first"
wait_for 60 'web runs again' allocs_are web running 4

note 'a deployment whose canary is drained away ends when the one in its place is well, too'
wait_for 60 'the other takes work again' "$NCTL" node eligibility -enable "$second"
slow() { # slow COMMAND: four, two at a time behind a canary
  api PUT /v1/jobs "$(job_json slow service 4 "$1" | jq '.Job.TaskGroups[0].Update = {MaxParallel: 2, Canary: 1, HealthCheck: "task_states",
    MinHealthyTime: 100000000, HealthyDeadline: 60000000000, ProgressDeadline: 120000000000} |
    .Job.TaskGroups[0].Migrate = {MaxParallel: 1, HealthCheck: "task_states", MinHealthyTime: 0, HealthyDeadline: 60000000000}')" >/dev/null
}
deployment_is() { # deployment_is VERSION STATUS HEALTHY
  api GET /v1/job/slow/deployment | jq -e --argjson v "$1" --arg s "$2" --argjson n "$3" \
    '.JobVersion == $v and .Status == $s and .TaskGroups.group.HealthyAllocs == $n' >/dev/null
}
slow 'exec sleep 3600'
wait_for 90 'the first version is there' deployment_is 0 successful 4
slow 'exec sleep 3601'
wait_for 90 'a canary is healthy' deployment_is 1 running 1
canary() { allocs slow | jq -r '[.[] | select(.JobVersion == 1 and .DesiredStatus == "run")] | .[0].'"$1"; }
where=$(canary NodeID)
"$NCTL" node drain -enable -detach "$where" >/dev/null
elsewhere() { deployment_is 1 running 2 && [ "$(canary NodeID)" != "$where" ]; }
wait_for 90 'another canary is healthy' elsewhere
"$NCTL" deployment promote -detach "$(api GET /v1/job/slow/deployment | jq -r .ID)" >/dev/null
wait_for 90 'the new version is there' deployment_is 1 successful 5
allocs slow | jq -e '[.[] | select(.JobVersion == 1 and .DesiredStatus == "run" and .DeploymentStatus.Healthy)] | length == 4' >/dev/null ||
  fail "$(allocs slow | jq -c '[.[] | [.JobVersion, .DesiredStatus, .DeploymentStatus]]')"
suite_stop
