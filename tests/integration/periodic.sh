#!/usr/bin/env bash
# Periodic jobs with real processes: what force and status say, and a job of every second over the death of the leader: no launch
# is lost, and none is made twice.
. "$(dirname "$0")/lib.sh"
suite_start '' -servers 3 -clients 1
mapfile -t urls < <(sed -n 's/^ *\(HTTP\)\{0,1\} *\(http:.*\)/\2/p' "$DEV_LOG")
periodic_job() { # ID CRON CLASS COMMAND: its children wait for a node of that class; '': they run
  job_json "$1" batch 1 "$4" | jq -c --arg cron "$2" --arg class "$3" \
    '.Job.Periodic = {Enabled: true, Spec: $cron, SpecType: "cron", ProhibitOverlap: ($class == ""), TimeZone: "Europe/Paris"}
     | if $class == "" then . else .Job.Constraints = [{LTarget: "${node.class}", Operand: "=", RTarget: $class}] end'
}
children() { api GET "/v1/jobs?prefix=$1%2Fperiodic-"; }
child_count() { children "$1" | jq length; }

note 'a job of each year is launched by force only'
registered=$(api PUT /v1/jobs "$(periodic_job year '0 0 1 1 *' '' 'exit 0')")
[ "$(jq -r .EvalID <<<"$registered")" = '' ] || fail "registering made an evaluation: $registered"
[ "$(api GET /v1/job/year | jq -r .Status)" = running ] || fail 'the parent does not run'
"$NCTL" periodic force ye >"$WORK/force" || fail "force: $(cat "$WORK/force")"
grep -q 'Evaluation triggered by job "year/periodic-[0-9]*"' "$WORK/force" || fail "force: $(cat "$WORK/force")"
child=$(children year | jq -r '.[0].ID')
[ "$(api GET "/v1/job/${child/\//%2F}" | jq -r .ParentID)" = year ] || fail "$child has another parent"
[ "$(api GET "/v1/job/$child" | jq -r .ID)" = "$child" ] || fail "$child is not found under its plain name"
ended() { [ "$(api GET /v1/job/year/summary | jq .Children.Dead)" = 1 ]; }
wait_for 60 'the child has run' ended
[ "$(api GET "/v1/job/$child/allocations" | jq -r '.[0].ClientStatus')" = complete ] || fail 'the child has not run to its end'
[ "$(api GET "/v1/job/$child/evaluations" | jq -r '.[-1].TriggeredBy')" = periodic-job ] || fail 'its evaluation has another cause'
"$NCTL" status year >"$WORK/status"
grep -Eq '^Next Periodic Launch = [0-9]{4}-01-01T00:00:00\+01:00 \([0-9hms]* from now\)' "$WORK/status" || fail "$(cat "$WORK/status")"
grep -Eq "^$child +dead" "$WORK/status" || fail "$(cat "$WORK/status")"

note 'a job of every second, and the leader dies'
api PUT /v1/jobs "$(periodic_job tick '* * * * * * *' none 'exit 0')" >/dev/null
launched() { [ "$(child_count tick)" -ge "$1" ]; }
wait_for 60 'it is launched' launched 2
leader=$(curl -fsS "${urls[0]}/v1/status/leader" | jq -r .)
for i in 0 1 2; do if [ "${leader##*:}" = $((${urls[$i]##*:} + 1)) ]; then dead=$i; fi; done
NORN_ADDR=${urls[$(((dead + 1) % 3))]}
for label in $(labels | grep "^s$((dead + 1))-"); do kill -KILL "$(pid_of "$label")"; done
# With one server dead any answer may fail once: each is asked for until it comes.
list_children() { children tick >"$WORK/children"; }
wait_for 120 'another one leads' list_children
before=$(jq length "$WORK/children")
wait_for 120 'it is launched again' launched $((before + 2))
wait_for 60 'its children are listed' list_children
# Each child is of its second, so one that were made twice would be one. What is older than a minute need not be made up for.
gaps=$(jq -c '[.[] | {time: (.ID | split("-")[1] | tonumber), made: (.SubmitTime / 1e9)}] | sort_by(.time) | . as $all
  | [range(1; length) | select($all[.].time != $all[. - 1].time + 1 and $all[.].made - $all[. - 1].time < 60)
    | [$all[. - 1], $all[.]]]' "$WORK/children")
[ "$gaps" = '[]' ] || fail "launches were lost: $gaps"

note 'stopped, it is launched no more; its children stay'
wait_for 60 'it is stopped' "$NCTL" stop tick
is_refused() { ! "$NCTL" periodic force tick >"$WORK/refused" 2>&1 && grep -q 'is stopped: submit it again' "$WORK/refused"; }
wait_for 60 'a stopped job is not launched' is_refused
says_stopped() { "$NCTL" status tick >"$WORK/status" && grep -q 'dead (stopped)' "$WORK/status" && grep -q 'none (job stopped)' "$WORK/status"; }
wait_for 60 'its status tells' says_stopped
wait_for 60 'its children are listed' list_children
jq -e 'length > 2 and all(.ParentID == "tick" and .Status == "pending")' "$WORK/children" >/dev/null || fail "$(cat "$WORK/children")"
suite_stop
