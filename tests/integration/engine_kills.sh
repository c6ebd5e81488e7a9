#!/usr/bin/env bash
# Driver docker when what has to do with a container is killed, with real engines: the agent while one is asked for, made and stopped,
# its taskdock, all of these at once, the engine. One container runs then, and none is left behind.
# usage: engine_kills.sh [podman|docker]...
. "$(dirname "$0")/engines_lib.sh"

kill_agent() {
  kill -KILL "$agent"
  wait "$agent" 2>/dev/null || true
}
the_container() { ask '/containers/json?all=1' | jq -r '.[0].Id // ""'; }
is_made() { [ -n "$(the_container)" ]; }
is_another() { one_container && [ "$(the_container)" != "$1" ]; }
taskdock_runs() { pgrep -f "^[^ ]*taskdock $1 $engine" >"$WORK/pids"; }
no_taskdock() { ! taskdock_runs "$1"; }
speaks() { [ "$(logs "$(id_of "$1")" | tail -n 1)" = "$2" ]; }
# waits JOB: a service that says "up", then on TERM "caught", and ends when its file "go" is there
waits() {
  run_job "$1" service '{"image": "localhost/norn/box:1", "command": "sh",
    "args": ["-c", "trap \"echo caught; while [ ! -e /local/go ]; do sleep 0.05; done; exit 0\" TERM; echo up; while :; do sleep 0.05; done"]}'
}
go() { touch "$WORK/$class/alloc/$(id_of "$1")/t/local/go"; }
ends() { # ends JOB: and nothing of it is left
  go "$1"
  "$NCTL" stop -detach "$1" >/dev/null
  await "$1" complete
  wait_for 60 'no container' no_container
  wait_for 60 'no taskdock' no_taskdock run
}

kills() {
  note "$name: the agent, while the engine is asked for an image"
  kill -STOP "$engine_pid"
  waits asked
  wait_for 60 'the engine is asked' taskdock_runs image
  kill_agent
  kill -CONT "$engine_pid"
  start_agent
  await asked running
  wait_for 60 'one container runs' one_container
  wait_for 60 'nobody asks any more' no_taskdock image
  ends asked

  note "$name: the agent, while a container is made"
  waits made
  wait_for 60 'it is made' is_made
  kill_agent
  local id
  id=$(the_container)
  start_agent
  await made running
  wait_for 60 'one container runs' one_container
  [ "$(the_container)" = "$id" ] || fail 'it was made twice'
  wait_for 60 'it speaks' speaks made up

  note "$name: the agent, while it is stopped"
  "$NCTL" stop -detach made >/dev/null
  wait_for 60 'it is told to go' speaks made caught
  kill_agent
  start_agent
  ends made

  note "$name: taskdock, while it makes one"
  restarts=2
  waits began
  wait_for 60 'it is made' is_made
  id=$(the_container)
  taskdock_runs run || fail 'there is no taskdock'
  xargs kill -KILL <"$WORK/pids"
  wait_for 60 'another runs alone' is_another "$id"

  note "$name: taskdock, its taskshim and the agent"
  id=$(the_container)
  taskdock_runs run || fail 'there is no taskdock'
  kill_agent
  # shellcheck disable=SC2046 # one word each
  kill -KILL $(shims_of "$WORK/$class") $(cat "$WORK/pids")
  start_agent
  wait_for 60 'another runs alone' is_another "$id"
  ends began

  note "$name: the engine"
  waits held
  await held running
  wait_for 60 'it speaks' speaks held up
  kill -KILL "$engine_pid"
  wait "$engine_pid" 2>/dev/null || true
  engine_run || engine_run || fail "$name does not start again: $(tail -n 3 "$home/log")"
  wait_for 120 'the driver is healthy' healthy true
  await held running
  wait_for 120 'one container runs' one_container
  ends held
  restarts=0
}
each_engine kills
