#!/usr/bin/env bash
# The example of a custom scheduler: all of a job or none; killed in the middle it loses nothing.
. "$(dirname "$0")/lib.sh"
: "${GANGSCHED:?the program tools/gangsched}"
suite_start ''

gang_start() {
  "$GANGSCHED" --evalbroker "ipc://$DIR/run/evalbroker.sock" --planqueue "ipc://$DIR/run/planqueue.sock" \
    --jobstore "ipc://$DIR/run/jobstore.sock" >>"$WORK/gangsched.log" 2>&1 &
  gang=$!
  suites+=("$gang")
}
evals_are() { [ "$(api GET "/v1/job/$1/evaluations" | jq --arg s "$2" '[.[] | select(.Status == $s)] | length')" = "$3" ]; }
[ -S "$DIR/run/evalbroker.sock" ] || fail "where are the sockets? $(ls -R "$DIR" | head -n 40)"

note 'a gang waits for its scheduler'
submit first custom.gang 3 'exec sleep 3600' >/dev/null
evals_are first pending 1 || fail 'it did not wait'
gang_start
wait_for 30 'all three run' allocs_are first running 3
wait_for 30 'its evaluation is complete' evals_are first complete 1

note 'one that does not fit whole is not begun'
cpu=$(api GET "/v1/node/$(api GET /v1/nodes | jq -r '.[0].ID')" | jq .NodeResources.Cpu.CpuShares)
submit large custom.gang 3 'exec sleep 3600' $((cpu / 2)) >/dev/null
wait_for 30 'it waits for room' evals_are large blocked 1
[ "$(allocs large)" = '[]' ] || fail "part of a gang was begun: $(allocs large)"
submit large service 3 'exec sleep 3600' $((cpu / 2)) >/dev/null 2>&1 && fail 'a job changed its type'
api DELETE '/v1/job/large?purge=true' >/dev/null

note 'killed while its plan is on its way'
unacked() { curl -sS "$NORN_ADDR/v1/metrics" | jq -e "[.Gauges[] | select(.Name | endswith(\"broker.unacked\")).Value] | add $1"; }
wait_for 60 'nobody has an evaluation' unacked '== 0'
kill -STOP "$(pid_of planqueue)"
submit second custom.gang 4 'exec sleep 3600' >/dev/null
wait_for 60 'it has the evaluation in hand' unacked '>= 1'
kill -KILL "$gang"
wait "$gang" 2>/dev/null || true
kill -CONT "$(pid_of planqueue)"
gang_start
wait_for 60 'the gang runs' allocs_are second running 4
[ "$(allocs second | jq length)" = 4 ] || fail "placed more than once: $(allocs second | jq -c '[.[] | [.Name, .ClientStatus]]')"
wait_for 60 'its evaluation is complete' evals_are second complete 1
suite_stop
