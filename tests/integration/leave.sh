#!/usr/bin/env bash
# An agent that drains its node as it ends: work moves before, the next agent gets work again, a second signal does not wait.
. "$(dirname "$0")/lib.sh"
suite_start '' -clients 1
home=$(api GET /v1/nodes | jq -r '.[0].ID')
agent='' node=''
cat >"$WORK/agent.conf" <<EOF
nodeagent: {
    gateway = ["ipc://$DIR/run/gateway.sock"];
    gateway_poll = ["ipc://$DIR/run/gateway-poll.sock"];
    data_dir = "$WORK/agent";
    name = "leaver";
    drain_on_shutdown = true;
};
EOF
node_is() { api GET "/v1/node/$node" | jq -e "$1" >/dev/null; }
start() { # start [options]: the agent that leaves
  "$BIN/nodeagent" --config "$WORK/agent.conf" "$@" 2>>"$WORK/agent.log" &
  agent=$!
  suites+=("$agent")
  leaver() { node=$(api GET /v1/nodes | jq -er '.[] | select(.Name == "leaver" and .Status == "ready").ID'); }
  wait_for 60 'the agent is ready' leaver
  leaver
  wait_for 60 'it takes work' node_is '.SchedulingEligibility == "eligible" and (.Drain | not)'
}
ends() { # ends: it does so, as asked to
  local code=0
  wait_for "$1" 'the agent ends' gone "$agent"
  wait "$agent" || code=$?
  [ "$code" = 0 ] || fail "the agent exits $code: $(tail -n 5 "$WORK/agent.log")"
}
on() { allocs "$2" | jq --arg n "$1" '[.[] | select(.ClientStatus == "running" and .NodeID == $n)] | length'; }
is_on() { [ "$(on "$1" "$2")" = "$3" ]; }

note 'a service moves before its agent ends'
start
"$NCTL" node eligibility -disable "$home" >/dev/null
api PUT /v1/jobs "$(job_json web service 3 'exec sleep 3600' |
  jq '.Job.TaskGroups[0].Migrate = {MaxParallel: 2, HealthCheck: "task_states", MinHealthyTime: 0, HealthyDeadline: 300000000000}')" >/dev/null
wait_for 60 'web runs there' is_on "$node" web 3
"$NCTL" node eligibility -enable "$home" >/dev/null
kill -TERM "$agent"
ends 90
is_on "$home" web 3 || fail "web: $(allocs web | jq -c '[.[] | [.NodeID, .ClientStatus, .DesiredStatus]]')"
allocs web | jq -e --arg n "$node" '[.[] | select(.NodeID == $n) | .ClientStatus] == ["complete", "complete", "complete"]' >/dev/null ||
  fail "its end was not told: $(allocs web | jq -c '[.[] | [.NodeID, .ClientStatus]]')"
[ -z "$(shims_of "$WORK/agent")" ] || fail 'tasks are left'
node_is '.LastDrain.Meta.message == "the agent is shut down" and .SchedulingEligibility == "ineligible"' || fail "$(api GET "/v1/node/$node" | jq -c .LastDrain)"

note 'its next agent gets work'
start
submit each system 1 'exec sleep 3600' >/dev/null
wait_for 60 'each runs on both' allocs_are each running 2

note 'what does not move is waited for; a second signal ends the agent at once'
"$NCTL" node eligibility -disable "$home" >/dev/null
submit sum batch 1 'exec sleep 3600' >/dev/null
wait_for 60 'sum runs there' is_on "$node" sum 1
kill -TERM "$agent"
wait_for 60 'the drain has begun' node_is '.Drain and .DrainStrategy.Deadline == 3600000000000'
alive "$agent" || fail 'it did not wait'
kill -TERM "$agent"
ends 30
is_on "$node" sum 1 || fail 'sum did not go on'
[ "$(shims_of "$WORK/agent" | wc -l)" = 2 ] || fail 'the tasks are not left to the next agent'

note 'the next one finds it; the drain is over, its task went on'
start --drain-deadline-ms 1s --drain-ignore-system-jobs true
is_on "$node" sum 1 || fail 'sum was not found again'
allocs sum | jq -e 'length == 1' >/dev/null || fail 'sum was placed anew'

note 'the deadline stops what does not move; a system job may stay'
"$NCTL" node eligibility -enable "$home" >/dev/null
kill -INT "$agent"
ends 90
is_on "$node" sum 0 || fail 'sum still runs'
[ "$(shims_of "$WORK/agent" | wc -l)" = 1 ] || fail 'the system job did not stay alone'

note 'a node that people drained stays drained'
start
"$NCTL" node eligibility -disable "$node" >/dev/null
kill -TERM "$agent"
ends 90
"$BIN/nodeagent" --config "$WORK/agent.conf" 2>"$WORK/last.log" &
agent=$!
suites+=("$agent")
wait_for 60 'it has said that it is back' grep -q 'event=node_returned' "$WORK/last.log"
node_is '.SchedulingEligibility == "ineligible"' || fail 'it takes work against what was said'
suite_stop
