#!/usr/bin/env bash
# Eight workers plan for the same nearly full cluster at once. Their plans are held back until all of them have one, so that they
# conflict whatever the machine does: together they want more than there is. No node is given out twice, all room is used, and
# it takes at most twice the evaluations that one worker makes of the same.
. "$(dirname "$0")/lib.sh"

NODES=3 JOBS=10 COUNT=5 EACH=8 # of count 5: eight plans of it are 40, on a cluster that holds 24

crowd_job() { # crowd_job ID
  jq -n --arg id "$1" --argjson count $COUNT --argjson cpu "$cpu" '{Job: {ID: $id, Name: $id, Type: "service", Datacenters: ["dc1"],
    TaskGroups: [{Name: "g", Count: $count, EphemeralDisk: {SizeMB: 10}, Tasks: [{Name: "t", Driver: "mock", Config: {run_for: "1h"},
      LogConfig: {MaxFiles: 1, MaxFileSizeMB: 1}, Resources: {CPU: $cpu, MemoryMB: 10}}]}]}}'
}
gauge() { curl -sS "$NORN_ADDR/v1/metrics" | jq --arg n "$1" '[.Gauges[], .Counters[] | select(.Name | endswith($n)) | .Value // .Sum] | add // 0'; }
in_hand() { [ "$(gauge broker.unacked)" -ge "$1" ]; }
nodes_ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = $NODES ]; }
live() { api GET '/v1/allocations?resources=true' | jq '[.[] | select(.DesiredStatus == "run" and (.ClientStatus | IN("pending", "running")))]'; }
# Everything has been planned: nothing is pending, all room is used, and what does not fit waits.
settled() {
  [ "$(api GET /v1/evaluations | jq '[.[] | select(.Status == "pending")] | length')" = 0 ] &&
    [ "$(live | jq length)" = "$1" ] && [ "$(live | jq '[.[] | select(.ClientStatus == "running")] | length')" = "$1" ]
}
no_node_is_over() {
  live | jq -e --argjson each $EACH 'group_by(.NodeID) | all(length <= $each)' >/dev/null ||
    fail "a node holds more than $EACH: $(live | jq -c 'group_by(.NodeID) | map(length)')"
}

# crowd WORKERS: sets evals
crowd() {
  local workers=$1 i pids=()
  note "$workers workers"
  suite_start '' --workers "$workers" --clients $NODES
  wait_for 30 'all nodes are ready' nodes_ready
  cpu=$(($(api GET "/v1/node/$(api GET /v1/nodes | jq -r '.[0].ID')" | jq '.NodeResources.Cpu.CpuShares - .ReservedResources.Cpu.CpuShares') / EACH))
  kill -STOP "$(pid_of planqueue)"
  for ((i = 0; i < JOBS; i++)); do api PUT /v1/jobs "$(crowd_job "crowd-$i")" >/dev/null & pids+=($!); done
  for i in "${pids[@]}"; do wait "$i" || fail 'a job was not taken'; done
  wait_for 30 "$workers evaluations are out" in_hand "$workers"
  kill -CONT "$(pid_of planqueue)"
  wait_for 60 'all room is used' settled $((NODES * EACH))
  no_node_is_over
  if [ "$workers" -gt 1 ]; then
    [ "$(($(gauge planqueue.partial) + $(gauge planqueue.refused)))" -gt 0 ] || fail 'no plans conflicted'
  fi

  note 'room is freed, and those that waited compete for it'
  for i in $(live | jq -r '[.[].JobID] | unique | .[:4][]'); do api DELETE "/v1/job/$i" >/dev/null; done
  wait_for 60 'all room is used again' settled $((NODES * EACH))
  no_node_is_over
  evals=$(api GET /v1/evaluations | jq length)
  note "$evals evaluations, $(gauge broker.delivered) deliveries, $(gauge planqueue.plans) plans," \
    "$(gauge planqueue.partial) accepted in part, $(gauge planqueue.refused) refused"
  suite_stop
}

crowd 1
one=$evals
crowd 8
[ "$evals" -le $((2 * one)) ] || fail "eight workers made $evals evaluations, one made $one"
