# shellcheck shell=bash
# Sourced by the scripts beside it. Each test has a directory of its own and a port of its own, waits for conditions instead
# of sleeping, and leaves no process and no file behind, however it ends.
set -euo pipefail

: "${BIN:?the directory of the programs, e.g. build/bin}"
: "${SOURCE:?the source tree}"
NCTL=$BIN/nctl
# Programs end with the memory they own; leaks are looked for case by case, in the unit tests.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
WORK=$(mktemp -d /tmp/norn-test-XXXXXX)
suites=() # pids of `nctl dev`
NORN_ADDR='' DIR='' PORT='' DEV=''
export NORN_ADDR
unset NOMAD_ADDR NORN_NAMESPACE NOMAD_NAMESPACE NORN_TOKEN NOMAD_TOKEN NORN_REGION NOMAD_REGION

note() { echo "# $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds
wait_for() {
  local seconds=$1 what=$2 end
  shift 2
  end=$(($(date +%s) + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || fail "not within $seconds s: $what"
    sleep 0.05
  done
}

alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! alive "$1"; }

# suite_start DIR [options]: `nctl dev` on a free port; sets DEV, DIR, PORT and NORN_ADDR. DIR '' keeps nothing.
suite_start() {
  local dir=$1 log
  shift
  log=$(mktemp "$WORK/dev-XXXXXX.log")
  "$NCTL" dev ${dir:+--data-dir "$dir"} --http-port 0 "$@" >"$log" 2>&1 &
  DEV=$!
  suites+=("$DEV")
  local end=$(($(date +%s) + 60))
  until grep -q '^ready ' "$log" || gone "$DEV"; do
    [ "$(date +%s)" -lt "$end" ] || fail "the suite is not ready: $(cat "$log")"
    sleep 0.02
  done
  if ! grep -q '^ready ' "$log"; then
    cat "$log" >&2
    logs_show "$dir"
    fail 'the suite did not start'
  fi
  DIR=$(sed -n 's/^ *data *\([^ ]*\).*/\1/p' "$log")
  NORN_ADDR=$(sed -n 's/^ *HTTP *//p' "$log")
  PORT=${NORN_ADDR##*:}
  DEV_LOG=$log
}

suite_stop() { # suite_stop [PID]
  local pid=${1:-$DEV}
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid" || fail "nctl dev exited $? when stopped: $(tail -n 3 "$DEV_LOG")"
}

logs_show() {
  local log
  for log in "$1"/log/*.log "$1"/agent*.log; do
    [ -s "$log" ] || continue
    echo "--- $log" >&2
    tail -n 15 "$log" >&2
  done
}

# A daemon that aborts is started again, so only its log tells of the bug.
logs_check() {
  local found
  found=$(grep -rlE 'AddressSanitizer|runtime error:|LeakSanitizer|must failed|assertion' "$WORK" --include='*.log' 2>/dev/null) || return 0
  for log in $found; do
    echo "--- $log" >&2
    grep -nE -A 25 'AddressSanitizer|runtime error:|LeakSanitizer|must failed|assertion' "$log" | head -n 60 >&2
  done
  return 1
}

# Tasks outlive their agent; those of this test do not outlive the test.
shims_of() {
  local fd pid
  for pid in $(pgrep -x taskshim 2>/dev/null); do
    for fd in /proc/"$pid"/fd/*; do
      case "$(readlink "$fd" 2>/dev/null)" in "$1"/*) echo "$pid"; break ;; esac
    done
  done
}

# How things stand when a test fails; `nctl dev` may take its logs with it.
state_show() {
  local dir
  if [ -n "$NORN_ADDR" ]; then
    api GET '/v1/allocations?namespace=*' | jq -c 'group_by([.JobID, .DesiredStatus, .ClientStatus]) |
      map({job: .[0].JobID, desired: .[0].DesiredStatus, client: .[0].ClientStatus, count: length})' >&2 || true
  fi
  for dir in ${DIR:+"$DIR"} "$WORK" "$WORK"/*/; do logs_show "$dir"; done
}

clean_up_more() { :; } # what a test started beside the suite
clean_up() {
  local status=$? pid
  trap - EXIT
  [ "$status" -eq 0 ] || state_show
  for pid in "${suites[@]+"${suites[@]}"}"; do kill -TERM "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null || true; done
  for pid in "${suites[@]+"${suites[@]}"}"; do
    local i
    for ((i = 0; i < 300; i++)); do alive "$pid" || break; sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null || true
  done
  for pid in $(shims_of "$WORK"); do kill -KILL "$pid" 2>/dev/null || true; done
  clean_up_more
  logs_check || status=1
  rm -rf "$WORK"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

pid_of() { awk -v label="$1" '$1 == label && $2 != 0 {print $2}' "${2:-$DIR}/dev.state"; }
labels() { awk '{print $1}' "$DIR/dev.state"; }

# api METHOD PATH [BODY]: prints the body; fails on a status of 400 and above
api() { curl -sS --fail-with-body --max-time 20 -X "$1" "$NORN_ADDR$2" ${3:+-H 'Content-Type: application/json' --data-binary "$3"}; }
# status_of METHOD PATH [curl options]: the status alone; the body goes to $WORK/body
status_of() {
  local method=$1 path=$2
  shift 2
  : >"$WORK/body"
  curl -sS --max-time 30 -o "$WORK/body" -w '%{http_code}' -X "$method" "$@" --path-as-is "$NORN_ADDR$path"
}

# job_json ID TYPE COUNT COMMAND [CPU]: a job of one raw_exec task that runs COMMAND in a shell; a service rolls two at a time
job_json() {
  jq -n --arg id "$1" --arg type "$2" --argjson count "$3" --arg command "$4" --argjson cpu "${5:-20}" '
    {Job: {ID: $id, Name: $id, Type: $type, Datacenters: ["dc1"],
      Update: (if $type == "service" then {MaxParallel: 2, MinHealthyTime: 100000000} else null end), TaskGroups: [{Name: "group", Count: $count,
      EphemeralDisk: {SizeMB: 10}, RestartPolicy: {Attempts: 0, Mode: "fail", Interval: 60000000000, Delay: 1000000000},
      Tasks: [{Name: "task", Driver: "raw_exec", Config: {command: "/bin/sh", args: ["-c", $command]},
        Resources: {CPU: $cpu, MemoryMB: 16}, LogConfig: {MaxFiles: 2, MaxFileSizeMB: 2}}]}]}}'
}
submit() { api PUT /v1/jobs "$(job_json "$@")"; }
allocs() { api GET "/v1/job/$1/allocations"; }
# allocs_are JOB STATUS COUNT
allocs_are() { [ "$(allocs "$1" | jq --arg s "$2" '[.[] | select(.ClientStatus == $s)] | length')" = "$3" ]; }
