#!/usr/bin/env bash
# What operators do to the members of a region of three, through any server's gateway: leadership is handed over, servers are
# removed, the leader itself among them, and those that live join again.
. "$(dirname "$0")/lib.sh"
suite_start '' -servers 3 -clients 1
mapfile -t urls < <(sed -n 's/^ *\(HTTP\)\{0,1\} *\(http:.*\)/\2/p' "$DEV_LOG")
[ "${#urls[@]}" = 3 ] || fail "not three addresses: ${urls[*]}"
conf_at() { curl -fsS -m 10 "$1/v1/operator/raft/configuration"; }
leader_at() { curl -fsS -m 10 "$1/v1/status/leader" | jq -r .; }
agreed() { [ "$(for url in "$@"; do leader_at "$url"; done | sort -u | wc -l)" = 1 ]; }
# leader_known URL...: sets LEAD to the number of the server that all of these name
leader_known() {
  wait_for 30 'they agree on a leader' agreed "$@"
  local at i
  at=$(leader_at "$1")
  for i in 0 1 2; do [ "${at##*:}" = $((${urls[$i]##*:} + 1)) ] && LEAD=$i; done
  return 0
}
id_of() { conf_at "$1" | jq -r --arg name "s$(($2 + 1)).global" '.Servers[] | select(.Node == $name) | .ID'; }
voters() { conf_at "$1" | jq '[.Servers[] | select(.Voter)] | length'; }
voters_are() { [ "$(voters "$1")" = "$2" ]; }
members_are() { [ "$(conf_at "$1" | jq '.Servers | length')" = "$2" ]; }

note 'leadership is handed over through any gateway'
leader_known "${urls[@]}"
wait_for 60 'three vote' voters_are "${urls[0]}" 3
known() { for i in 0 1 2; do [ -n "$(id_of "${urls[$LEAD]}" $i)" ] || return 1; done; }
wait_for 30 'all names are recorded' known
for i in 0 1 2; do
  before=$LEAD
  NORN_ADDR=${urls[$i]} "$NCTL" operator raft transfer-leadership >"$WORK/out" 2>&1 || fail "at ${urls[$i]}: $(cat "$WORK/out")"
  leader_known "${urls[@]}"
  [ "$LEAD" != "$before" ] || fail "it leads as before: $before"
  NORN_ADDR=${urls[$i]} submit "job-$i" service 1 'exec sleep 3600' >/dev/null || fail "no registration at ${urls[$i]}"
done

note '... to the one that is named'
for i in 0 1 2; do
  export NORN_ADDR=${urls[$i]}
  to=$(((LEAD + 1) % 3))
  "$NCTL" operator raft transfer-leadership -peer-id "$(id_of "$NORN_ADDR" $to)" >"$WORK/out" 2>&1 || fail "$(cat "$WORK/out")"
  leader_known "${urls[@]}"
  [ "$LEAD" = "$to" ] || fail "s$LEAD leads, not s$to"
  "$NCTL" operator raft transfer-leadership -peer-id "$(id_of "$NORN_ADDR" $to)" >"$WORK/out" 2>&1 || fail "to the leader: $(cat "$WORK/out")"
  leader_known "${urls[@]}"
  [ "$LEAD" = "$to" ] || fail 'a transfer to the leader moved it'
done
if "$NCTL" operator raft transfer-leadership -peer-id nobody >"$WORK/out" 2>&1; then fail 'transfer to nobody'; fi
grep -qF 'id "nobody" was not found in the Raft configuration' "$WORK/out" || fail "$(cat "$WORK/out")"

note 'the leader is removed through a follower, and joins again as a server that lives'
other=$(((LEAD + 1) % 3)) removed=$LEAD
export NORN_ADDR=${urls[$other]}
id=$(id_of "$NORN_ADDR" "$removed")
"$NCTL" operator raft remove-peer -peer-id "$id" >"$WORK/out" 2>&1 || fail "the leader is not removed: $(cat "$WORK/out")"
leader_known "${urls[$other]}" "${urls[$(((removed + 2) % 3))]}"
submit after service 1 'exec sleep 3600' >/dev/null || fail 'no registration after the leader was removed'
wait_for 60 'it was added again and votes' voters_are "$NORN_ADDR" 3

note 'a dead one is kept where cleaning up is off, and removed by hand through a follower'
"$NCTL" operator autopilot set-config -cleanup-dead-servers=false >"$WORK/out" || fail 'set-config'
leader_known "${urls[@]}"
dead=$(((LEAD + 1) % 3)) left=${urls[$(((LEAD + 2) % 3))]}
export NORN_ADDR=$left
id=$(id_of "$left" "$dead")
kill -STOP "$DEV" # it would start them again
for label in $(labels | grep "^s$((dead + 1))-"); do kill -KILL "$(pid_of "$label")" 2>/dev/null || true; done
failed() { "$NCTL" server members | grep -q ' failed '; }
wait_for 30 'it is seen as failed' failed
silent() { # one that was seen seconds ago would be added again
  curl -sS "$left/v1/operator/autopilot/health" | jq -e --arg id "$id" '.Servers[] | select(.ID == $id) | .LastContact | test("^([7-9]|[0-9]+[0-9])[.0-9]*s|m")'
}
wait_for 30 'it is silent for 7 s' silent
members_are "$left" 3 || fail 'it was removed although cleaning up is off'
"$NCTL" operator raft remove-peer -peer-id "$id" >"$WORK/out" 2>&1 || fail "$(cat "$WORK/out")"
members_are "$left" 2 || fail "$(conf_at "$left")"
if "$NCTL" operator raft remove-peer -peer-id "$id" >"$WORK/out" 2>&1; then fail 'it is removed twice'; fi
grep -qF "id \"$id\" was not found in the Raft configuration" "$WORK/out" || fail "$(cat "$WORK/out")"
submit two service 1 'exec sleep 3600' >/dev/null || fail 'two of two take no write'

note 'and is added again when it lives again'
kill -CONT "$DEV"
wait_for 60 'the dead one was started, added, and votes' voters_are "$left" 3
suite_stop
