#!/usr/bin/env bash
# A node is silent for so long that it is given up, the leader dies meanwhile, and the node comes back: its old tasks end, those that
# took their place go on, and it gets work again. Of a job that waits for nodes that are not heard of, the old ones stay instead.
. "$(dirname "$0")/lib.sh"
suite_start '' -servers 3 -clients 2
mapfile -t urls < <(sed -n 's/^ *\(HTTP\)\{0,1\} *\(http:.*\)/\2/p' "$DEV_LOG")
submit web service 4 'exec sleep 3600' >/dev/null
wait_for 60 'the job runs' allocs_are web running 4
patient=$(job_json patient service 4 'exec sleep 3600' |
  jq -c '.Job.TaskGroups[0].Disconnect = {LostAfter: 3600000000000, Reconcile: "keep_original"}')
api PUT /v1/jobs "$patient" >/dev/null
wait_for 60 'the patient job runs' allocs_are patient running 4
node=$(allocs web | jq -r '.[0].NodeID')
name=$(api GET "/v1/node/$node" | jq -r .Name)
case $name in *-1) agent=nodeagent-1 ;; *) agent=nodeagent-0 ;; esac
on_node() { allocs "$1" | jq -cS --arg n "$node" '[.[] | select(.NodeID == $n) | .ID]'; }
held=$(on_node web | jq length)
away=$(on_node patient)

note "node $name, with $held of 4 allocations, is silent, and the leader dies"
pid=$(pid_of "$agent")
kill -STOP "$pid"
trap 'kill -CONT "$pid" 2>/dev/null || true; clean_up' EXIT
leader=$(curl -fsS "${urls[0]}/v1/status/leader" | jq -r .)
for i in 0 1 2; do if [ "${leader##*:}" = $((${urls[$i]##*:} + 1)) ]; then dead=$i; fi; done
NORN_ADDR=${urls[$(((dead + 1) % 3))]}
for label in $(labels | grep "^s$((dead + 1))-"); do kill -KILL "$(pid_of "$label")"; done
node_is() { [ "$(api GET "/v1/node/$node" | jq -r .Status)" = "$1" ]; }
wait_for 120 'the node is down' node_is down
moved() { allocs web | jq -e --arg n "$node" '[.[] | select(.ClientStatus == "running" and .NodeID != $n)] | length == 4' >/dev/null; }
wait_for 60 'all run elsewhere' moved
allocs_are web lost "$held" || fail "lost: $(allocs web | jq -c '[.[] | {ClientStatus, NodeID}]')"
unheard() { allocs_are patient unknown "$(jq length <<<"$away")"; }
wait_for 60 'those of the patient job are not heard of' unheard
wait_for 60 'others run in their place' allocs_are patient running 4
[ "$(shims_of "$DIR" | wc -l)" = $((8 + held + $(jq length <<<"$away"))) ] || fail 'the tasks of the silent node did not go on without their agent'

note 'it is back: what took the place of its tasks goes on, its own end'
before=$(allocs web | jq -cS '[.[] | select(.ClientStatus == "running") | .ID] | sort')
kill -CONT "$pid"
wait_for 60 'the node is ready' node_is ready
tasks_are() { [ "$(shims_of "$DIR" | wc -l)" = "$1" ]; }
wait_for 60 'the old tasks of web and the stand-ins of the patient job have ended' tasks_are 8
stayed() {
  allocs patient | jq -e --argjson away "$away" '[.[] | select(.ClientStatus == "running") | .ID] | length == 4 and ($away - . == [])' >/dev/null
}
wait_for 60 'the patient job has its old ones back' stayed
[ "$(allocs web | jq -cS '[.[] | select(.ClientStatus == "running") | .ID] | sort')" = "$before" ] ||
  fail "other allocations run than before: $(allocs web)"
[ "$(allocs web | jq length)" = $((4 + held)) ] || fail "more were placed: $(allocs web)"

note 'and it gets work'
api PUT /v1/jobs "$(job_json each system 1 'exec sleep 3600')" >/dev/null
wait_for 60 'a system job runs on both' allocs_are each running 2
api DELETE '/v1/job/each?purge=true' >/dev/null
suite_stop
