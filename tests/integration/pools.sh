#!/usr/bin/env bash
# Namespaces, node pools, datacenters with stars, all or nothing, and nodes that are looked at again or forgotten.
. "$(dirname "$0")/lib.sh"
suite_start ''
here=$(api GET /v1/nodes | jq -r '.[0].ID')

# agent NAME POOL DATACENTER: another node of the suite; sets AGENT
agent() {
  "$BIN/nodeagent" --config "$DIR/dev.conf" --data-dir "$WORK/$1" --name "$1" --node-pool "$2" --datacenter "$3" 2>"$WORK/$1.log" &
  AGENT=$!
  suites+=("$AGENT")
}
# write_job ID POOL DATACENTER COUNT [MORE]: a job file; MORE is merged into the job
write_job() {
  job_json "$1" service "$4" 'exec sleep 3600' | jq --arg pool "$2" --arg dc "$3" --argjson more "${5:-{\}}" \
    '.Job += {Datacenters: [$dc]} + (if $pool == "" then {} else {NodePool: $pool} end) + $more' >"$WORK/$1.json"
}
run() { "$NCTL" run -detach "$WORK/$1.json" >"$WORK/out" 2>&1 || fail "run $1: $(cat "$WORK/out")"; }
# runs_on JOB NODE COUNT
runs_on() { [ "$(allocs "$1" | jq --arg n "$2" '[.[] | select(.ClientStatus == "running" and .NodeID == $n)] | length')" = "$3" ]; }
evals_are() { [ "$(api GET "/v1/job/$1/evaluations" | jq --arg s "$2" '[.[] | select(.Status == $s)] | length')" -ge 1 ]; }

note 'a namespace has names of its own'
job_json web service 1 'echo "in $NOMAD_NAMESPACE"; exec sleep 3600' >"$WORK/web.json"
"$NCTL" run -namespace apps -detach "$WORK/web.json" >"$WORK/out" 2>&1 && fail 'it was taken'
grep -q 'job "web" is in nonexistent namespace "apps"' "$WORK/out" || fail "$(cat "$WORK/out")"
"$NCTL" namespace apply -description 'of a team' apps >/dev/null || fail 'namespace apply'
"$NCTL" run -namespace apps -detach "$WORK/web.json" >/dev/null || fail 'run in apps'
"$NCTL" run -detach "$WORK/web.json" >/dev/null || fail 'run in default'
in_apps() { [ "$(api GET '/v1/job/web/allocations?namespace=apps' | jq '[.[] | select(.ClientStatus == "running")] | length')" = 1 ]; }
wait_for 30 'it runs in apps' in_apps
wait_for 30 'its namesake runs' allocs_are web running 1
said() { "$NCTL" alloc logs -namespace apps "$(api GET '/v1/job/web/allocations?namespace=apps' | jq -r '.[0].ID')" | grep -qx 'in apps'; }
wait_for 30 'its task is told' said
[ "$(api GET '/v1/jobs?namespace=*' | jq length)" = 2 ] && [ "$(api GET /v1/jobs | jq length)" = 1 ] || fail "$(api GET '/v1/jobs?namespace=*')"
NORN_NAMESPACE='*' "$NCTL" status | grep -q '^web  *apps ' || fail "$(NORN_NAMESPACE='*' "$NCTL" status)"
"$NCTL" namespace delete apps >"$WORK/out" 2>&1 && fail 'deleted with a job in it'
grep -q 'namespace "apps" has non-terminal jobs in regions: \[global\]' "$WORK/out" || fail "$(cat "$WORK/out")"
NOMAD_NAMESPACE=apps "$NCTL" stop -purge -detach web >/dev/null || fail 'stop in apps'
"$NCTL" namespace delete apps >/dev/null || fail 'namespace delete'
allocs_are web running 1 || fail 'its namesake was stopped'
"$NCTL" stop -purge -detach web >/dev/null || fail 'stop'

note 'a job of a pool that is not there'
write_job lost gpu 'dc1' 1
"$NCTL" run -detach "$WORK/lost.json" >"$WORK/out" 2>&1 && fail 'it was taken'
grep -q 'job "lost" is in nonexistent node pool "gpu"' "$WORK/out" || fail "$(cat "$WORK/out")"

note 'names that a node cannot have'
refused() { # refused SETTING VALUE
  local code=0
  timeout 30 "$BIN/nodeagent" --config "$DIR/dev.conf" --data-dir "$WORK/wrong" "--${1/_/-}" "$2" >"$WORK/out" 2>&1 || code=$?
  [ "$code" = 2 ] && grep -q "why=\"$1 " "$WORK/out" || fail "$1 $2: exits $code: $(cat "$WORK/out")"
}
refused node_pool all
refused node_pool a/b
refused datacenter 'dc*'

note 'a node makes its pool'
agent gpu-1 gpu eu-1
gpu_agent=$AGENT
in_pool() { [ "$(api GET "/v1/node/pool/$1/nodes" | jq length)" = "$2" ]; }
wait_for 30 'the node is in its pool' in_pool gpu 1
in_pool default 1 && in_pool all 2 || fail "$(api GET /v1/node/pool/all/nodes)"
gpu=$(api GET /v1/node/pool/gpu/nodes | jq -r '.[0].ID')
"$NCTL" node pool list >"$WORK/out"
[ "$(awk 'NR > 1 {print $1}' "$WORK/out" | paste -sd ' ')" = 'all default gpu' ] || fail "$(cat "$WORK/out")"
"$NCTL" node pool delete gpu >"$WORK/out" 2>&1 && fail 'deleted with a node in it'
grep -q 'node pool "gpu" has nodes in regions: \[global\]' "$WORK/out" || fail "$(cat "$WORK/out")"
"$NCTL" node status >"$WORK/out"
grep -q '^ID  *Node Pool' "$WORK/out" || fail "$(cat "$WORK/out")"

note 'each goes to its pool, by datacenters with stars'
write_job gpu gpu 'e?-*' 2
write_job plain '' '*' 2
run gpu
run plain
wait_for 30 'in its pool' runs_on gpu "$gpu" 2
wait_for 30 'in the default pool' runs_on plain "$here" 2
[ "$(api GET /v1/node/pool/gpu/jobs | jq -r '.[].ID')" = gpu ] || fail "$(api GET /v1/node/pool/gpu/jobs)"

note 'a pool without nodes'
jq -n '{Name: "arm", Description: "none yet", SchedulerConfiguration: {SchedulerAlgorithm: "spread"}}' >"$WORK/arm.json"
"$NCTL" node pool apply "$WORK/arm.json" >/dev/null || fail 'apply'
"$NCTL" node pool info arm >"$WORK/out"
grep -q 'Scheduler Algorithm *= spread' "$WORK/out" || fail "$(cat "$WORK/out")"
write_job arm arm '*' 1
run arm
wait_for 30 'it waits' evals_are arm blocked
"$NCTL" why arm >"$WORK/out" || fail 'why'
grep -q "no node is in the job's node pool and datacenters" "$WORK/out" || fail "$(cat "$WORK/out")"
agent arm-1 arm dc1
wait_for 30 'it runs where a node has come' allocs_are arm running 1

note 'all or nothing'
memory=$(api GET "/v1/node/$gpu" | jq '.NodeResources.Memory.MemoryMB - .ReservedResources.Memory.MemoryMB')
big() { # big ID COUNT MORE: each takes more than a third of the node
  write_job "$1" gpu '*' "$2" "$3"
  jq --argjson m $((memory * 2 / 5)) '.Job.TaskGroups[0].Tasks[0].Resources.MemoryMB = $m' "$WORK/$1.json" >"$WORK/out"
  mv "$WORK/out" "$WORK/$1.json"
}
big filler 1 '{}'
big ranks 2 '{"AllAtOnce": true}'
run filler
wait_for 30 'one is there' runs_on filler "$gpu" 1
code=0
"$NCTL" plan "$WORK/ranks.json" >"$WORK/out" 2>&1 || code=$?
[ "$code" = 1 ] && grep -q 'nothing is placed until all of it fits' "$WORK/out" || fail "plan exits $code: $(cat "$WORK/out")"
run ranks
wait_for 30 'they wait' evals_are ranks blocked
[ "$(allocs ranks)" = '[]' ] || fail "a part was placed: $(allocs ranks)"
[ "$(api GET /v1/job/ranks/summary | jq .Summary.group.Queued)" = 2 ] || fail "$(api GET /v1/job/ranks/summary)"
"$NCTL" stop -detach filler >/dev/null
wait_for 30 'both run' runs_on ranks "$gpu" 2
"$NCTL" stop -detach ranks >/dev/null

note 'a node that is looked at again'
api PUT "/v1/node/$here/evaluate" | jq -e '(.EvalIDs | length) >= 1 and .NodeModifyIndex == 0 and .NumNodes == 0' >/dev/null ||
  fail "$(api PUT "/v1/node/$here/evaluate")"
"$NCTL" node evaluate gpu-none >/dev/null 2>&1 && fail 'a node that is not there'

note 'a node that lives registers again'
"$NCTL" node purge "$here" >"$WORK/out" || fail "purge: $(cat "$WORK/out")"
is_back() { api GET "/v1/node/$here" | jq -e '.Status == "ready"'; }
wait_for 30 'it is back' is_back
wait_for 30 'what it runs is there' allocs_are plain running 2

note 'a node that does not'
write_job any all '*' 1 '{"Constraints": [{"LTarget": "${node.pool}", "Operand": "regexp", "RTarget": "gpu|default"}]}'
"$NCTL" node eligibility -disable "$here" >/dev/null
run any
wait_for 30 'it runs there' runs_on any "$gpu" 1
"$NCTL" node eligibility -enable "$here" >/dev/null
kill -KILL "$gpu_agent"
wait "$gpu_agent" 2>/dev/null || true
"$NCTL" node purge "$gpu" >"$WORK/out" || fail "purge: $(cat "$WORK/out")"
wait_for 30 'it is replaced' runs_on any "$here" 1
allocs any | jq -e --arg n "$gpu" '[.[] | select(.NodeID == $n)] | length == 1 and .[0].ClientStatus == "lost"' >/dev/null || fail "$(allocs any)"
[ "$(status_of GET "/v1/node/$gpu")" = 404 ] || fail 'it is still known'
wait_for 30 'what only its pool may run waits' evals_are gpu blocked
