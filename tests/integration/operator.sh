#!/usr/bin/env bash
# What operators ask: members, autopilot, the whole state as a file, on a server alone.
. "$(dirname "$0")/lib.sh"
suite_start ''
"$NCTL" operator raft list-peers >"$WORK/peers" || fail 'list-peers'
grep -qE '^Node +ID +Address +State +Voter +RaftProtocol$' "$WORK/peers" || fail "its heading: $(cat "$WORK/peers")"
grep -qE ' leader +true +3$' "$WORK/peers" || fail "nobody leads: $(cat "$WORK/peers")"
refused() { # refused TEXT COMMAND...: it fails and says so
  local text=$1
  shift
  if "$@" >"$WORK/out" 2>&1; then fail "$* succeeds: $(cat "$WORK/out")"; fi
  grep -qF -- "$text" "$WORK/out" || fail "$* does not say '$text': $(cat "$WORK/out")"
}
refused 'id "nobody" was not found in the Raft configuration' "$NCTL" operator raft remove-peer -peer-id nobody
refused 'an address or id is required' "$NCTL" operator raft remove-peer
refused 'no other voter' "$NCTL" operator raft transfer-leadership

cat >"$WORK/expected" <<'TEXT'
CleanupDeadServers = true
LastContactThreshold = 200ms
MaxTrailingLogs = 250
MinQuorum = 0
ServerStabilizationTime = 10s
EnableRedundancyZones = false
DisableUpgradeMigration = false
EnableCustomUpgrades = false
TEXT
"$NCTL" operator autopilot get-config | diff "$WORK/expected" - || fail 'the configuration of the beginning'
"$NCTL" operator autopilot set-config -cleanup-dead-servers=false -max-trailing-logs=300 -last-contact-threshold=300ms |
  grep -qx 'Configuration updated!' || fail 'set-config'
"$NCTL" operator autopilot get-config >"$WORK/out"
grep -qx 'CleanupDeadServers = false' "$WORK/out" && grep -qx 'MaxTrailingLogs = 300' "$WORK/out" &&
  grep -qx 'LastContactThreshold = 300ms' "$WORK/out" && grep -qx 'ServerStabilizationTime = 10s' "$WORK/out" ||
  fail "not what was set: $(cat "$WORK/out")"
refused 'invalid duration "soon"' "$NCTL" operator autopilot set-config -last-contact-threshold soon
healthy() { "$NCTL" operator autopilot health | grep -qx 'Healthy = true'; }
wait_for 5 'the server is healthy' healthy

sed '0,/"hello"/s//"kept"/' "$SOURCE/deploy/examples/hello.job" >"$WORK/kept.job"
sed '0,/"hello"/s//"gone"/' "$SOURCE/deploy/examples/hello.job" >"$WORK/gone.job"
"$NCTL" job run -detach "$WORK/kept.job" >"$WORK/out" 2>&1 || fail "$(cat "$WORK/out")"
file=$WORK/state.snap
"$NCTL" operator snapshot save "$file" | grep -qx "State file written to $file" || fail 'save'
"$NCTL" operator snapshot inspect "$file" >"$WORK/out" || fail 'inspect'
grep -qE '^Index +[1-9][0-9]*$' "$WORK/out" && grep -qE '^Version +1$' "$WORK/out" || fail "$(cat "$WORK/out")"
"$NCTL" job run -detach "$WORK/gone.job" >"$WORK/out" 2>&1 || fail "$(cat "$WORK/out")"

cp "$file" "$WORK/bad.snap"
printf 'X' | dd of="$WORK/bad.snap" bs=1 seek=5000 conv=notrunc 2>"$WORK/dd"
refused 'damaged' "$NCTL" operator snapshot inspect "$WORK/bad.snap"
refused 'damaged' "$NCTL" operator snapshot restore "$WORK/bad.snap"
head -c 9000 "$file" >"$WORK/cut.snap"
refused 'cut' "$NCTL" operator snapshot restore "$WORK/cut.snap"
refused 'not the file of a saved state' "$NCTL" operator snapshot inspect "$NCTL"
refused 'Error opening snapshot file' "$NCTL" operator snapshot inspect "$WORK/nowhere"
"$NCTL" job status gone >"$WORK/out" 2>&1 || fail 'what was refused changed something'

"$NCTL" operator snapshot restore "$file" | grep -qx 'Snapshot Restored' || fail 'restore'
"$NCTL" job status kept >"$WORK/out" 2>&1 || fail "the restored job is not there: $(cat "$WORK/out")"
if "$NCTL" job status gone >"$WORK/out" 2>&1; then fail 'a job of after the file is still there'; fi
"$NCTL" job run -detach "$WORK/gone.job" >"$WORK/out" 2>&1 || fail "nothing can be run after a restore: $(cat "$WORK/out")"
