#!/usr/bin/env bash
# kill -9 of every daemon, again and again, while jobs come in; then of all at once, and a start on the same data.
# What was acknowledged is there, everything runs, nothing runs twice. KILL9_ROUNDS: how often each daemon dies (1).
. "$(dirname "$0")/lib.sh"
rounds=${KILL9_ROUNDS:-1}
runs=$WORK/runs
mkdir "$runs"

suite_start "$WORK/data" --workers 2

# Each allocation leaves one line in a file of its own name; a second line is a second run.
body="echo \$NORN_ALLOC_ID >> $runs/\$NORN_JOB_NAME-\$NORN_ALLOC_INDEX"
submit keeper service 2 "$body; exec sleep 3600" >/dev/null
wait_for 30 'the service runs' allocs_are keeper running 2
keepers=$(shims_of "$DIR" | sort)

# A client that takes no for an answer only until it is yes: what it counts was acknowledged.
accepted=$WORK/accepted
: >"$accepted"
client() {
  local n=0
  while [ ! -e "$WORK/enough" ]; do
    n=$((n + 1))
    until submit "job-$n" batch 2 "$body" >/dev/null 2>&1; do
      [ ! -e "$WORK/enough" ] || return 0
      sleep 0.05
    done
    echo "job-$n" >>"$accepted"
    sleep 0.02
  done
}
client &
client=$!

answers() { api GET /v1/jobs; }
for ((round = 1; round <= rounds; round++)); do
  for label in $(labels); do
    pid=$(pid_of "$label")
    note "kill -9 $label ($pid)"
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    wait_for 20 "HTTP answers after the death of $label" answers
    count=$(wc -l <"$accepted")
    more() { [ "$(wc -l <"$accepted")" -gt $((count + 2)) ]; }
    wait_for 20 "jobs are accepted after the death of $label" more
  done
done

note 'kill -9 of all at once, with the client still busy'
pids=$(awk '$2 != 0 {print $2}' "$DIR/dev.state")
# shellcheck disable=SC2086
kill -KILL "$DEV" $pids 2>/dev/null || true
touch "$WORK/enough"
wait "$client" || true
for pid in $pids; do wait_for 10 "daemon $pid is gone" gone "$pid"; done
suite_start "$WORK/data" --workers 2

jobs=$(wc -l <"$accepted")
note "$jobs jobs were acknowledged"
while read -r job; do
  allocs_are "$job" complete 2 || wait_for 60 "$job completes" allocs_are "$job" complete 2
  [ "$(allocs "$job" | jq length)" = 2 ] || fail "$job has more than its two allocations: $(allocs "$job" | jq -c '.[]|[.Name,.ClientStatus,.DesiredStatus]')"
  [ "$(api GET "/v1/job/$job/evaluations" | jq 'length >= 1')" = true ] || fail "$job has lost its evaluations"
done <"$accepted"

note 'the service runs on, adopted'
wait_for 30 'the service runs' allocs_are keeper running 2
[ "$(shims_of "$DIR" | sort)" = "$keepers" ] || fail 'the tasks of the service are not the same processes'

note 'nothing ran twice'
twice=$(wc -l "$runs"/* | awk '$1 > 1 && $2 != "total"')
[ -z "$twice" ] || fail "ran twice: $twice"
for job in $(cat "$accepted"); do
  [ -f "$runs/$job-0" ] && [ -f "$runs/$job-1" ] || fail "$job says complete, but has not run"
done
"$NCTL" stop -purge keeper >/dev/null
no_tasks() { [ -z "$(shims_of "$DIR")" ]; }
wait_for 20 'the service is stopped' no_tasks
suite_stop
