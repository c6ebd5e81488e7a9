#!/usr/bin/env bash
# Collection: what nobody needs goes when it is asked for, with all that is left of it on the node; what runs stays.
. "$(dirname "$0")/lib.sh"
suite_start '' -workers 2
ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = 1 ]; }
wait_for 60 'the node is ready' ready

submit web service 1 'exec sleep 3600' >/dev/null
submit sum batch 1 'echo done' >/dev/null
submit old service 1 'exec sleep 3600' >/dev/null
wait_for 60 'web runs' allocs_are web running 1
wait_for 60 'sum has run' allocs_are sum complete 1
wait_for 60 'old runs' allocs_are old running 1
web=$(allocs web | jq -r '.[0].ID') sum=$(allocs sum | jq -r '.[0].ID') old=$(allocs old | jq -r '.[0].ID')
directory_of() { find "$DIR" -type d -path "*/alloc/$1" -print -quit | grep -q .; }
directory_of "$sum" || fail 'the directory of what has run is not where it is looked for'
directory_is_gone() { ! directory_of "$1"; }

note 'nothing is old enough by itself'
api GET /v1/job/sum >/dev/null || fail 'a young job was collected'

note 'by force'
api DELETE /v1/job/old >/dev/null
wait_for 60 'old has ended' allocs_are old complete 1
job_is_gone() { [ "$(status_of GET "/v1/job/$1")" = 404 ]; }
all_gone() {
  "$NCTL" system gc >"$WORK/out" && job_is_gone sum && job_is_gone old # an evaluation may have been open the first time
}
wait_for 60 'what has ended is gone' all_gone
[ ! -s "$WORK/out" ] || fail "system gc says: $(cat "$WORK/out")"
for id in "$sum" "$old"; do
  [ "$(status_of GET "/v1/allocation/$id")" = 404 ] || fail "an allocation stays: $(cat "$WORK/body")"
done
[ "$(api GET /v1/evaluations | jq '[.[] | select(.JobID != "web")] | length')" = 0 ] || fail 'evaluations stay'
allocs_are web running 1 || fail 'what runs does not run any more'
[ "$(allocs web | jq -r '.[0].ID')" = "$web" ] || fail 'what runs was collected'
api GET /v1/nodes | jq -e 'length == 1' >/dev/null || fail 'the node is gone'

note 'the agent removes what is left'
wait_for 60 'the directory of sum is gone' directory_is_gone "$sum"
wait_for 60 'the directory of old is gone' directory_is_gone "$old"
directory_of "$web" || fail 'the directory of what runs is gone'

note 'a name may be used again'
submit sum batch 1 'echo again' >/dev/null
wait_for 60 'sum has run again' allocs_are sum complete 1
"$NCTL" system reconcile summaries >"$WORK/out" || fail 'system reconcile summaries'
[ ! -s "$WORK/out" ] || fail "says: $(cat "$WORK/out")"

note 'a job is looked at again'
"$NCTL" job eval -detach web >"$WORK/out" || fail 'job eval'
grep -qE '^Created eval ID: "[0-9a-f]{8}" $' "$WORK/out" || fail "says: $(cat "$WORK/out")"
"$NCTL" job eval web >"$WORK/out" || fail 'job eval, followed'
grep -q 'finished with status "complete"' "$WORK/out" || fail "says: $(cat "$WORK/out")"
"$NCTL" job eval ghost 2>"$WORK/err" && fail 'a job that is not there is evaluated'
[ "$(cat "$WORK/err")" = 'Error evaluating job: Unexpected response code: 500 (job not found)' ] || fail "says: $(cat "$WORK/err")"
[ "$(status_of PUT /v1/job/web/evaluate --data '{"JobID": "other"}')" = 400 ] || fail 'another job is evaluated'
[ "$(cat "$WORK/body")" = 'JobID not same as job name' ] || fail "says: $(cat "$WORK/body")"
[ "$(status_of PUT /v1/job/web/evaluate --data '{}')" = 400 ] || fail 'no job is evaluated'
[ "$(cat "$WORK/body")" = 'Job ID must be specified' ] || fail "says: $(cat "$WORK/body")"
[ "$(status_of POST /v1/job/web/evaluate)" = 200 ] || fail "without a body: $(cat "$WORK/body")"

note 'an evaluation is planned again, by whichever worker planned it'
for job in web sum; do
  for eval in $(api GET "/v1/job/$job/evaluations" | jq -r '.[] | select(.Status == "complete") | .ID'); do
    "$NCTL" eval replay "$eval" >"$WORK/out" 2>&1 || fail "replay of an evaluation of $job: $(cat "$WORK/out")"
    grep -q '^The same plan as was made then.$' "$WORK/out" || fail "says: $(cat "$WORK/out")"
  done
done
api GET "/v1/evaluation/$eval/replay" | jq -e '.Same and .JobID == "sum" and .Where[0].Count == 1 and .Annotations.DesiredTGUpdates.group.Place == 1' \
  >/dev/null || fail "$(api GET "/v1/evaluation/$eval/replay")"
suite_stop

note 'by age, where nothing is kept for long'
mkdir "$WORK/bin"
for program in "$BIN"/*; do ln -s "$program" "$WORK/bin/"; done
rm "$WORK/bin/controller" "$WORK/bin/nctl"
cp "$BIN/nctl" "$WORK/bin/" # it looks for the others beside itself
cat >"$WORK/bin/controller" <<END
#!/bin/sh
exec "$BIN/controller" --job-gc-interval-ms 200ms --job-gc-threshold-ms 1s --eval-gc-threshold-ms 1s --batch-eval-gc-threshold-ms 1s \
  --deployment-gc-threshold-ms 1s "\$@"
END
chmod +x "$WORK/bin/controller"
NCTL=$WORK/bin/nctl
suite_start ''
wait_for 60 'the node is ready' ready
submit web service 1 'exec sleep 3600' >/dev/null
submit sum batch 1 'echo done' >/dev/null
wait_for 60 'web runs' allocs_are web running 1
web=$(allocs web | jq -r '.[0].ID')
wait_for 60 'what has run is gone' job_is_gone sum
[ "$(api GET /v1/evaluations | jq '[.[] | select(.JobID == "sum")] | length')" = 0 ] || fail 'its evaluations stay'
[ "$(allocs web | jq -r '.[] | .ID + .ClientStatus')" = "${web}running" ] || fail "what runs was collected: $(allocs web)"
stable() { api GET /v1/job/web | jq -e '.Stable' >/dev/null; }
wait_for 60 'the job is what it was' stable
api DELETE /v1/job/web >/dev/null
wait_for 60 'what was stopped is gone' job_is_gone web
nothing_is_there() { [ "$(api GET /v1/evaluations)$(api GET /v1/deployments)$(api GET /v1/allocations)" = '[][][]' ]; }
wait_for 60 'nothing is there any more' nothing_is_there
suite_stop
