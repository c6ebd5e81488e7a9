#!/usr/bin/env bash
# Bad input from every side: a clear error, the right status, no change of state, and nobody dies of it.
. "$(dirname "$0")/lib.sh"
suite_start "$WORK/data"
submit base batch 1 'echo here; mkdir -p local; exit 0' >/dev/null
wait_for 20 'the first job ends' allocs_are base complete 1
alloc=$(allocs base | jq -r '.[0].ID')
settled() { [ "$(api GET /v1/evaluations | jq '[.[] | select(.Status == "pending")] | length')" = 0 ]; }
wait_for 10 'nothing is pending' settled
state() { api GET /v1/jobs | jq -S -c 'map({ID, Version, JobModifyIndex})'; api GET /v1/evaluations | jq length; api GET /v1/allocations | jq length; }
state >"$WORK/before"
pids=$(awk '{print $1, $2}' "$DIR/dev.state")

# want STATUS METHOD PATH [curl options]
want() {
  local wanted=$1 got
  shift
  got=$(status_of "$@" 2>/dev/null || true)
  case "|$wanted|" in *"|$got|"*) ;; *) fail "$* gives $got, not $wanted: $(head -c 300 "$WORK/body")" ;; esac
  case "$got" in 200|404) ;; *) [ -s "$WORK/body" ] ;; esac || fail "$* gives $got without a word"
}
json=(-H 'Content-Type: application/json')

note 'bodies'
want 400 PUT /v1/jobs "${json[@]}" -d '{'
want 400 PUT /v1/jobs "${json[@]}" -d ''
want 400 PUT /v1/jobs "${json[@]}" -d 'nonsense'
want 400 PUT /v1/jobs "${json[@]}" -d '[]'
want 400 PUT /v1/jobs "${json[@]}" -d '{"Job": null}'
want '400|500' PUT /v1/jobs "${json[@]}" -d '{"Job": {"ID": 7}}'
want '400|500' PUT /v1/jobs "${json[@]}" -d '{"Job": {"ID": "x", "TaskGroups": "y"}}'
want '400|500' PUT /v1/jobs "${json[@]}" -d '{"Job": {"ID": "x"}}'
head -c 200000 /dev/zero | tr '\0' '[' >"$WORK/deep"
want 400 PUT /v1/jobs "${json[@]}" --data-binary "@$WORK/deep"
head -c 20000000 /dev/zero | tr '\0' 'a' >"$WORK/large"
want '413|400' PUT /v1/jobs "${json[@]}" --data-binary "@$WORK/large" -H 'Expect:'
head -c 4096 /dev/urandom >"$WORK/random"
want 400 PUT /v1/jobs "${json[@]}" --data-binary "@$WORK/random"
printf '{"Job": {"ID": "cut' | timeout 2 curl -sS -m 1 -o /dev/null -X PUT -H 'Content-Length: 5000' --data-binary @- "$NORN_ADDR/v1/jobs" 2>/dev/null || true

note 'jobs that cannot be'
edit() { job_json bad service 1 'exit 0' | jq -c "$1"; }
for change in '.Job.TaskGroups[0].Count = -1' '.Job.TaskGroups[0].Tasks[0].Driver = ""' '.Job.TaskGroups += .Job.TaskGroups' \
  '.Job.TaskGroups[0].Tasks += .Job.TaskGroups[0].Tasks' '.Job.TaskGroups = []' '.Job.TaskGroups[0].Tasks = []' '.Job.ID = ""' \
  '.Job.TaskGroups[0].Tasks[0].Resources.CPU = -5' '.Job.Priority = 1000' '.Job.Type = "systemm"' '.Job.ID = "a b"' \
  '.Job.Datacenters = []' '.Job.TaskGroups[0].Tasks[0].Name = "a/b"' '.Job.TaskGroups[0].Name = "../x"'; do
  want '400|500' PUT /v1/jobs "${json[@]}" -d "$(edit "$change")"
done

note 'paths and methods'
want 404 GET /v1/nosuch
want 404 GET /v1/job/nosuch
want '404|400' GET /v1/job/%00
want '301|404|400' GET /v1/job/..%2f..%2fetc
want '400|404|500' GET /v1/allocation/nosuch
want 404 GET /v1/allocation/00000000-0000-0000-0000-000000000000
want '400|404|500' GET /v1/evaluation/zz
want 405 DELETE /v1/jobs
want 405 PUT /v1/nodes
want 405 POST /v1/status/leader
want 400 GET '/v1/jobs?index=x'
want '400|200' GET '/v1/jobs?wait=forever&index=1'
want '400|404|414|431' GET "/v1/job/$(head -c 60000 /dev/zero | tr '\0' 'x')"

note 'paths that leave the allocation'  # as Nomad's, the answer of cat is a 200 whose text says so
for path in ../../../../../../etc/passwd /../../../etc/passwd alloc/../../../../etc/passwd; do
  encoded=$(jq -rn --arg p "$path" '$p | @uri')
  want '200|400|403|404|500' GET "/v1/client/fs/cat/$alloc?path=$encoded"
  ! grep -q root: "$WORK/body" || fail "$path was read"
done
dir=$(find "$DIR"/client-0 -type d -path "*$alloc*" -name task | head -n 1)
ln -s /etc/passwd "$dir/local/escape"
want '200|400|403|404|500' GET "/v1/client/fs/cat/$alloc?path=task/local/escape"
! grep -q root: "$WORK/body" || fail 'a symlink led out'

note 'job files'
for name in syntax:'job = { name = ' key:'job: { id = "x"; nmae = "y"; };' type:'job: { id = 5; };' empty:'' nul:$'job\x01'; do
  printf '%s' "${name#*:}" >"$WORK/${name%%:*}.job"
  if "$NCTL" submit "$WORK/${name%%:*}.job" >"$WORK/out" 2>&1; then fail "${name%%:*}.job was accepted"; fi
  [ "${name%%:*}" = empty ] || grep -q "${name%%:*}.job" "$WORK/out" || fail "the message does not name the file: $(cat "$WORK/out")"
done
head -c 10000000 /dev/urandom >"$WORK/noise.job"
if "$NCTL" submit "$WORK/noise.job" >"$WORK/out" 2>&1; then fail 'noise was accepted'; fi
[ "$(wc -c <"$WORK/out")" -lt 2000 ] || fail 'the message repeats the noise'

note 'random bytes on every socket'
python3 "$SOURCE/tests/integration/noise.py" "${NOISE_SECONDS:-5}" "$PORT" "$DIR"/run/*.sock

note 'nothing has changed, nobody has died, and all still works'
state | diff "$WORK/before" - >&2 || fail 'the state has changed'
[ "$(awk '{print $1, $2}' "$DIR/dev.state")" = "$pids" ] || fail "a daemon died: $(diff <(echo "$pids") <(awk '{print $1, $2}' "$DIR/dev.state"))"
submit after batch 1 'exit 0' >/dev/null
wait_for 30 'a job still runs' allocs_are after complete 1
suite_stop

note 'a data directory of another version, and of another kind'
for part in jobstore client-0; do
  saved=$(cat "$WORK/data/$part/VERSION")
  echo "norn $part 999" >"$WORK/data/$part/VERSION"
  if timeout 60 "$NCTL" dev --data-dir "$WORK/data" --http-port 0 >"$WORK/out" 2>&1; then fail "$part of version 999 was accepted"; fi
  grep -q 'VERSION\|version\|format' "$WORK/out" || fail "no clear line: $(cat "$WORK/out")"
  echo "$saved" >"$WORK/data/$part/VERSION"
done
suite_start "$WORK/data"
wait_for 20 'all is there again' allocs_are after complete 1
suite_stop
