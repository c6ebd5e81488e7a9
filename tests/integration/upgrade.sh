#!/usr/bin/env bash
# The agent and the shim are replaced in place under 200 running tasks, by an orderly end and by kill -9: no task is touched, no line
# of output is lost.
. "$(dirname "$0")/lib.sh"
TASKS=200
mkdir "$WORK/bin"
cp -p "$BIN"/* "$WORK/bin/"
NCTL=$WORK/bin/nctl
suite_start '' -clients 1
# Each waits within its own process: a thousand `sleep`s each second would be more than a slow machine has beside the agent.
job=$(job_json talk service "$TASKS" "exec bash -c 'exec 3<> <(:); i=0; while :; do echo \$i; i=\$((i + 1)); read -t 0.2 -u 3; done'" 5)
api PUT /v1/jobs "$job" >/dev/null
wait_for 300 "$TASKS tasks run" allocs_are talk running "$TASKS"

# pid and start time of each task: nobody else can have both
tasks() {
  local pid
  for pid in $(pgrep -f 'exec 3<> <'); do
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -q "^NOMAD_ALLOC_DIR=$DIR"; then awk '{print $1, $22}' "/proc/$pid/stat"; fi
  done | sort
}
all_are_there() { tasks >"$WORK/before" && [ "$(wc -l <"$WORK/before")" = "$TASKS" ]; }
wait_for 60 "$TASKS processes, each in its loop" all_are_there

replace() { # replace PROGRAM: another file of the same name, as a package does it
  cp -p "$BIN/$1" "$WORK/bin/$1.new"
  mv "$WORK/bin/$1.new" "$WORK/bin/$1"
}
is_new() { # is_new OLDPID: an agent runs from the file that lies there now
  local pid
  pid=$(pid_of nodeagent-0)
  [ -n "$pid" ] && [ "$pid" != "$1" ] && [ "$(stat -Lc %i "/proc/$pid/exe")" = "$(stat -c %i "$WORK/bin/nodeagent")" ]
}
for signal in TERM KILL TERM; do
  note "a new nodeagent after SIG$signal"
  for program in nodeagent taskshim; do replace "$program"; done
  old=$(pid_of nodeagent-0)
  kill "-$signal" "$old"
  wait_for 120 'the new agent runs' is_new "$old"
  allocs_are talk running "$TASKS" || fail "states: $(allocs talk | jq -c '[.[].ClientStatus] | group_by(.) | map({(.[0]): length})')"
done

note 'the new agent hears of what they do: all are stopped by it'
tasks >"$WORK/after"
cmp -s "$WORK/before" "$WORK/after" || fail "tasks were touched: $(diff "$WORK/before" "$WORK/after" | head)"
api DELETE /v1/job/talk >/dev/null
wait_for 300 'all have ended' allocs_are talk complete "$TASKS"
tasks >"$WORK/left"
[ ! -s "$WORK/left" ] || fail "still there: $(cat "$WORK/left")"

note 'no line is missing'
counted=0
for dir in "$DIR"/client-0/alloc/*/alloc/logs; do
  cat $(printf '%s\n' "$dir"/task.stdout.* | sort -t. -k3n) | awk '$1 != NR - 1 {exit 1} END {if (NR < 5) exit 1}' || fail "a gap in $dir: $(tail -n 3 "$dir"/task.stdout.0)"
  counted=$((counted + 1))
done
[ "$counted" = "$TASKS" ] || fail "$counted logs"
suite_stop
