#!/usr/bin/env bash
# nctl dev: wrong use, two suites side by side, a dead daemon comes back, kill -9 of nctl dev itself, what is kept and what not.
. "$(dirname "$0")/lib.sh"

note 'wrong use ends at once, with a clear line'
for bad in '--http-port -1' '--http-port 65536' '--http-port x' '--clients -1' '--workers 0' '--data-dri /tmp' 'now'; do
  # shellcheck disable=SC2086
  if "$NCTL" dev $bad >"$WORK/out" 2>&1; then fail "nctl dev $bad was accepted"; fi
  [ -s "$WORK/out" ] || fail "nctl dev $bad says nothing"
done
"$NCTL" dev --help | grep -q -- '-data-dir' || fail 'nctl dev --help does not tell of -data-dir'

note 'two suites side by side, one that keeps its state and one that does not'
suite_start "$WORK/one"
one_port=$PORT one_dev=$DEV one_dir=$DIR
suite_start ''
two_dev=$DEV two_dir=$DIR
[ "$one_port" != "$PORT" ] || fail 'both on one port'
submit only-two batch 1 'exit 0' >/dev/null
wait_for 20 'the job ends in the second suite' allocs_are only-two complete 1
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$one_port/v1/job/only-two")" = 404 ] ||
  fail 'a job of one suite is known in the other'
if [ "$(id -u)" = 0 ]; then # else there is no other user to become
  api PUT /v1/jobs "$(job_json stranger batch 1 'touch local/mine' | jq '.Job.TaskGroups[0].Tasks[0].User = "nobody"')" >/dev/null
  wait_for 20 'a task of another user works in its directory' allocs_are stranger complete 1
fi

note 'a port and a data directory in use'
if "$NCTL" dev --http-port "$PORT" >"$WORK/out" 2>&1; then fail 'a port in use was accepted'; fi
grep -q "port $PORT .* is in use" "$WORK/out" || fail "no clear line on the port in use: $(cat "$WORK/out")"
if "$NCTL" dev --data-dir "$WORK/one" --http-port 0 >"$WORK/out" 2>&1; then fail 'a data directory in use was accepted'; fi
grep -q 'in use by another suite' "$WORK/out" || fail "no clear line on the directory in use: $(cat "$WORK/out")"

note 'Ctrl-C removes what is not kept, tasks included'
submit sleeper service 1 'exec sleep 3600' >/dev/null
wait_for 20 'the sleeper runs' allocs_are sleeper running 1
shim=$(shims_of "$two_dir")
[ -n "$shim" ] || fail 'no taskshim found'
kill -INT "$two_dev"
wait "$two_dev" || fail "nctl dev exited $? on Ctrl-C"
[ ! -e "$two_dir" ] || fail "$two_dir is still there"
wait_for 5 'the task is gone' gone "$shim"

note 'each daemon that dies comes back'
DEV=$one_dev DIR=$one_dir PORT=$one_port NORN_ADDR=http://127.0.0.1:$one_port
for label in $(labels); do
  before=$(pid_of "$label")
  kill -KILL "$before"
  back() { local now; now=$(pid_of "$label") && [ -n "$now" ] && [ "$now" != "$before" ] && alive "$now"; }
  wait_for 10 "$label is started again" back
done
submit after batch 1 'exit 0' >/dev/null
wait_for 30 'a job still runs through' allocs_are after complete 1

note 'kill -9 of nctl dev takes the daemons along; the next start finds all again'
submit keeper service 1 'exec sleep 3600' >/dev/null
wait_for 20 'the keeper runs' allocs_are keeper running 1
shim=$(shims_of "$one_dir")
pids=$(awk '$2 != 0 {print $2}' "$DIR/dev.state")
kill -KILL "$DEV"
for pid in $pids; do wait_for 10 "daemon $pid ends with nctl dev" gone "$pid"; done
alive "$shim" || fail 'the task died with the suite'
suite_start "$WORK/one"
wait_for 20 'the keeper is known and runs' allocs_are keeper running 1
[ "$(shims_of "$one_dir")" = "$shim" ] || fail 'the task was not adopted'

note 'a clean stop keeps tasks running, and says so'
suite_stop
grep -q '1 task still runs' "$DEV_LOG" || fail "no word on the running task: $(tail -n 3 "$DEV_LOG")"
alive "$shim" || fail 'the task died at a clean stop'
suite_start "$WORK/one"
wait_for 20 'the keeper runs' allocs_are keeper running 1
"$NCTL" stop keeper >/dev/null
wait_for 20 'the task is gone' gone "$shim"
suite_stop
