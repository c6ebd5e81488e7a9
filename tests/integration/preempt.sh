#!/usr/bin/env bash
# A more important job takes the place of a less important one, if the region lets it.
. "$(dirname "$0")/lib.sh"
suite_start ''

write_job() { # write_job ID PRIORITY MEMORY [TYPE [SCRIPT]]
  jq -n --arg id "$1" --argjson priority "$2" --argjson memory "$3" --arg type "${4:-service}" --arg script "${5:-exec sleep 3600}" '
    {Job: {ID: $id, Name: $id, Type: $type, Priority: $priority, Datacenters: ["dc1"], TaskGroups: [{Name: "g", Count: 1,
      EphemeralDisk: {SizeMB: 10}, Tasks: [{Name: "t", Driver: "raw_exec", KillTimeout: 10000000000,
        Config: {command: "/bin/sh", args: ["-c", $script]}, Resources: {CPU: 20, MemoryMB: $memory},
        LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}' >"$WORK/$1.json"
}
run() { "$NCTL" run -detach "$WORK/$1.json" >/dev/null || fail "run $1"; }
evals_are() { [ "$(api GET "/v1/job/$1/evaluations" | jq --arg s "$2" '[.[] | select(.Status == $s)] | length')" -ge 1 ]; }
memory=$(api GET "/v1/node/$(api GET /v1/nodes | jq -r '.[0].ID')" | jq '.NodeResources.Memory.MemoryMB - .ReservedResources.Memory.MemoryMB')

note 'not unless the region lets it'
# hog takes its time to end; whoever starts meanwhile sees that it is there.
write_job hog 20 $((memory / 2 + 100)) service \
  "touch $WORK/busy; trap 'sleep 2; rm $WORK/busy; exit 0' INT TERM; while :; do sleep 0.1; done"
write_job vip 90 $((memory / 2 + 100)) service "if [ -e $WORK/busy ]; then touch $WORK/overlap; fi; exec sleep 3600"
write_job close 29 $((memory / 2 + 100))
run hog
wait_for 30 'hog runs' test -e "$WORK/busy"
run vip
wait_for 30 'vip waits' evals_are vip blocked
"$NCTL" operator scheduler get-config >"$WORK/out"
grep -q 'Preemption Service Scheduler  *= false' "$WORK/out" || fail "$(cat "$WORK/out")"
api DELETE '/v1/job/vip?purge=true' >/dev/null

note 'a plan says who would have to go'
"$NCTL" operator scheduler set-config -preempt-service-scheduler true >/dev/null || fail 'set-config'
api GET /v1/operator/scheduler/configuration | jq -e '.SchedulerConfig.PreemptionConfig | .ServiceSchedulerEnabled and .SystemSchedulerEnabled' >/dev/null ||
  fail "$(api GET /v1/operator/scheduler/configuration)"
victim=$(allocs hog | jq -r '.[0].ID')
code=0
"$NCTL" plan "$WORK/vip.json" >"$WORK/out" 2>&1 || code=$?
[ "$code" = 1 ] && grep -q "^$victim *hog *g" "$WORK/out" || fail "plan exits $code: $(cat "$WORK/out")"
allocs_are hog running 1 || fail 'the plan displaced it'

note 'priorities that are too close'
run close
wait_for 30 'close waits' evals_are close blocked
allocs_are hog running 1 || fail 'displaced by a job that is hardly more important'
api DELETE '/v1/job/close?purge=true' >/dev/null

note 'displaced'
run vip
wait_for 30 'vip runs' allocs_are vip running 1
vip=$(allocs vip | jq -r '.[0].ID')
api GET "/v1/allocation/$victim" | jq -e --arg by "$vip" '.DesiredStatus == "evict" and .PreemptedByAllocation == $by and
  .DesiredDescription == "Preempted by alloc ID " + $by' >/dev/null || fail "$(api GET "/v1/allocation/$victim")"
api GET "/v1/allocation/$vip" | jq -e --arg who "$victim" '.PreemptedAllocations == [$who]' >/dev/null || fail "$(api GET "/v1/allocation/$vip")"
[ ! -e "$WORK/overlap" ] || fail 'it started before the other had ended'
wait_for 30 'the other has ended' allocs_are hog complete 1
wait_for 30 'its job waits for room' evals_are hog blocked
[ "$(api GET /v1/job/hog/evaluations | jq '[.[] | select(.TriggeredBy == "preemption")] | length')" = 1 ] || fail 'no evaluation by preemption'

note 'and has its place again when the other is gone'
api DELETE /v1/job/vip >/dev/null
wait_for 60 'hog runs again' allocs_are hog running 1

note 'a system job may displace unless it is told not to'
write_job watch 60 $((memory / 2 + 100)) system
run watch
wait_for 30 'watch runs' allocs_are watch running 1
suite_stop
