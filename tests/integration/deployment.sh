#!/usr/bin/env bash
# A new version of a job on its way: never fewer running than max_parallel allows, canaries and their promotion, back by itself
# when it is bad, given up when it does not progress.
. "$(dirname "$0")/lib.sh"
suite_start ''
ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = 1 ]; }
wait_for 60 'the node is ready' ready

# version COMMAND [JQ on its update block]: registers web with it
version() {
  api PUT /v1/jobs "$(job_json web service 4 "$1" | jq ".Job.TaskGroups[0].Update = ({MaxParallel: 1, HealthCheck: \"task_states\",
    MinHealthyTime: 100000000, HealthyDeadline: 30000000000, ProgressDeadline: 60000000000} + ${2:-{\}})")" >/dev/null
}
latest() { api GET /v1/job/web/deployment | jq "$@"; }
# deployment_is VERSION STATUS DESCRIPTION
deployment_is() {
  latest -e --argjson v "$1" --arg s "$2" --arg d "$3" '.JobVersion == $v and .Status == $s and .StatusDescription == $d'
}
awaits() { wait_for 60 "version $1 is $2: $3" deployment_is "$@"; }
# runs VERSION COUNT: so many of it are running and are to
runs() {
  [ "$(allocs web | jq --argjson v "$1" '[.[] | select(.JobVersion == $v and .ClientStatus == "running" and .DesiredStatus == "run")] | length')" = "$2" ]
}
done_well='Deployment completed successfully'

note 'the first version'
version 'exec sleep 3600'
awaits 0 successful "$done_well"
runs 0 4 || fail "not all run: $(allocs web | jq -c '[.[] | [.JobVersion, .ClientStatus]]')"
api GET /v1/job/web | jq -e '.Stable' >/dev/null || fail 'it is not stable'
allocs web | jq -e 'all(.[]; .DeploymentStatus.Healthy)' >/dev/null || fail 'not all are known to be healthy'

note 'the second takes its place one by one'
(while [ ! -e "$WORK/stop" ]; do
  allocs web | jq '[.[] | select(.ClientStatus == "running" and .DesiredStatus == "run")] | length' >>"$WORK/seen" 2>/dev/null || true
  sleep 0.02
done) &
watcher=$!
version 'exec sleep 3601'
awaits 1 successful "$done_well"
touch "$WORK/stop"
wait "$watcher"
[ "$(sort -n "$WORK/seen" | head -n 1)" -ge 3 ] || fail "fell below three: $(sort -n "$WORK/seen" | uniq -c)"
runs 1 4 || fail 'not all are of the new version'
latest -e '.TaskGroups.group | .DesiredTotal == 4 and .PlacedAllocs == 4 and .HealthyAllocs == 4 and .UnhealthyAllocs == 0' >/dev/null ||
  fail "counts: $(latest -c .TaskGroups)"

note 'a bad one goes back by itself'
version 'exit 1' '{AutoRevert: true, MinHealthyTime: 20000000000}'
awaits 3 successful "$done_well"
runs 3 4 || fail "not all are of what came back: $(allocs web | jq -c '[.[] | [.JobVersion, .ClientStatus, .DesiredStatus]]')"
allocs web | jq -e '[.[] | select(.JobVersion == 2)] | length == 1 and (.[0].DeploymentStatus.Healthy | not)' >/dev/null || fail 'more than one was tried'
[ "$(api GET /v1/job/web | jq -r '.TaskGroups[0].Tasks[0].Config.args[1]')" = 'exec sleep 3601' ] || fail 'it is not the version before'
api GET '/v1/job/web/deployments' | jq -e '[.[] | select(.JobVersion == 2)] | .[0] | .Status == "failed" and
  .StatusDescription == "Failed due to unhealthy allocations - rolling back to job version 1"' >/dev/null ||
  fail "$(api GET /v1/job/web/deployments | jq -c '[.[] | [.JobVersion, .Status, .StatusDescription]]')"

note 'a canary beside the old ones waits for its promotion'
version 'exec sleep 3602' '{Canary: 1}'
waits() { deployment_is 4 running 'Deployment is running but requires manual promotion' && latest -e '.TaskGroups.group.HealthyAllocs == 1'; }
wait_for 60 'the canary is healthy' waits
runs 4 1 || fail 'it is not one canary'
allocs web | jq -e '[.[] | select(.ClientStatus == "running" and .DesiredStatus == "run")] | length == 5' >/dev/null || fail 'it is not beside four'
api PUT "/v1/deployment/promote/$(latest -r .ID)" "{\"DeploymentID\": \"$(latest -r .ID)\", \"All\": true}" >/dev/null || fail 'it is not promoted'
awaits 4 successful "$done_well"
runs 4 4 || fail 'not all are of the promoted version'

note 'one that does not progress is given up, whichever controller waits for it'
version 'exit 1' '{MinHealthyTime: 3400000000, HealthyDeadline: 3500000000, ProgressDeadline: 4000000000}'
wait_for 60 'one of it failed' allocs_are web failed 2
kill -KILL "$(pid_of controller)"
awaits 5 failed 'Failed due to progress deadline'
runs 4 3 || fail 'more than one gave way to a bad version'
suite_stop
