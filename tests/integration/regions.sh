#!/usr/bin/env bash
# Two regions: what is asked of a server of one with -region or ?region= is answered by the other, streams too; a region that
# does not exist, or is out of reach, is an error that does not take long.
. "$(dirname "$0")/lib.sh"

suite_start '' -region east
east=$NORN_ADDR east_pid=$DEV
join=$(sed -n 's/.*another suite joins by -join //p' "$DEV_LOG")
[ -n "$join" ] || fail 'the output does not say how to join'
suite_start '' -region west -join "$join"

note 'who is there'
both_known() { [ "$(api GET /v1/regions | jq -c .)" = '["east","west"]' ]; }
wait_for 10 'both regions are known' both_known
node=$(curl -fsS "$east/v1/nodes" | jq -r '.[0].ID')
"$NCTL" node status -region east | grep -q "${node:0:8}" || fail 'node status -region east shows another node'
"$NCTL" node status | grep -q "${node:0:8}" && fail 'node status without a region shows the node of another'
[ "$(api GET '/v1/status/leader?region=east' | jq -r .)" = "${join##*//}" ] || fail 'the leader of the other region'

note 'a job of the other region'
"$NCTL" submit -region east "$SOURCE/deploy/examples/hello.job" >"$WORK/out" || fail "submit: $(cat "$WORK/out")"
[ "$(api GET /v1/jobs | jq length)" = 0 ] || fail 'the job is in our own region too'
runs_in_east() { api GET '/v1/job/hello/allocations?region=east' | jq -e '.[0].ClientStatus == "running"'; }
wait_for 10 'it runs in the other region' runs_in_east
alloc=$(api GET '/v1/job/hello/allocations?region=east' | jq -r '.[0].ID')
has_output() { [ -n "$("$NCTL" alloc logs -region east "$alloc")" ]; }
wait_for 10 'its output can be read' has_output
timeout 20 "$NCTL" alloc logs -f -region east "$alloc" 2>/dev/null | head -n 3 >"$WORK/out" || true
[ "$(wc -l <"$WORK/out")" = 3 ] || fail "its output cannot be followed: $(cat "$WORK/out")"

note 'a job that says which region it is for'
NORN_ADDR=$NORN_ADDR jq -n '{Job: {ID: "abroad", Region: "east", Datacenters: ["dc1"], Type: "batch", TaskGroups: [{Name: "g", Count: 0,
  Tasks: [{Name: "t", Driver: "mock", Config: {}}]}]}}' >"$WORK/abroad.json"
curl -fsS -X PUT --data "@$WORK/abroad.json" "$NORN_ADDR/v1/jobs" >/dev/null || fail 'a job for the other region is refused'
[ "$(curl -fsS "$east/v1/job/abroad" | jq -r .ID)" = abroad ] || fail 'it did not get there'

note 'waiting for a change there'
index=$(curl -fsSi "$NORN_ADDR/v1/jobs?region=east" | tr -d '\r' | sed -n 's/^X-Nomad-Index: //Ip')
curl -fsS -m 30 "$NORN_ADDR/v1/jobs?region=east&index=$index&wait=25s" >"$WORK/waited" &
waiting=$!
"$NCTL" stop -region east hello >/dev/null || fail 'stop'
wait "$waiting" || fail 'the wait failed'
jq -e '.[] | select(.ID == "hello") | .Stop' "$WORK/waited" >/dev/null || fail 'the wait did not tell the change'

note 'no such region, and one out of reach'
refused() { # refused REGION: with Nomad's words, within five seconds
  local from=$SECONDS text
  text=$(curl -sS -m 20 "$NORN_ADDR/v1/jobs?region=$1")
  [ "$text" = 'No path to region' ] || fail "region $1: $text"
  [ $((SECONDS - from)) -le 5 ] || fail "region $1: the error took $((SECONDS - from)) s"
}
refused mars
kill -KILL "$east_pid"
wait "$east_pid" 2>/dev/null || true
refused east
suite_stop
