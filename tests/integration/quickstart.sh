#!/usr/bin/env bash
# README's first command, as a new user runs it, but with a port of its own.
. "$(dirname "$0")/lib.sh"
cd "$SOURCE"
port=$((10000 + RANDOM % 9900)) # below those that tasks and the kernel give away
stop() { tools/quickstart --stop --http-port "$port" >/dev/null 2>&1 || true; }
trap 'stop; clean_up' EXIT

if tools/quickstart --nosuch >"$WORK/out" 2>&1; then fail 'a wrong option was accepted'; fi
tools/quickstart --detach --http-port "$port" >"$WORK/out" 2>&1 || fail "quickstart: $(cat "$WORK/out")"
for word in 'hello' 'running' 'its log' 'Try next' 'alloc logs'; do
  grep -q "$word" "$WORK/out" || fail "quickstart does not say '$word': $(cat "$WORK/out")"
done
note 'again: it is used as it is'
tools/quickstart --detach --http-port "$port" >"$WORK/out" 2>&1 || fail "quickstart again: $(cat "$WORK/out")"
grep -q 'already running' "$WORK/out" || fail 'a second suite was started'

note 'the three commands it suggests work'
export NORN_ADDR=http://127.0.0.1:$port
sed -n 's/^  \(build\/bin\/nctl [^ ].*\)/\1/p' "$WORK/out" | sed 's/  \+.*//; s/alloc logs -f/alloc logs/' >"$WORK/commands"
[ "$(wc -l <"$WORK/commands")" -ge 3 ] || fail "not three commands: $(cat "$WORK/out")"
while read -r command; do
  $command >"$WORK/answer" 2>&1 || fail "$command: $(cat "$WORK/answer")"
done <"$WORK/commands"

tools/quickstart --stop --http-port "$port" >"$WORK/out" || fail 'stop'
grep -q stopped "$WORK/out" || fail "stop says: $(cat "$WORK/out")"
if curl -s -m 2 "$NORN_ADDR/v1/status/leader" >/dev/null; then fail 'HTTP still answers'; fi
tools/quickstart --stop --http-port "$port" >/dev/null || fail 'a second stop fails'
