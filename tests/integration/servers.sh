#!/usr/bin/env bash
# Three servers on one machine: any of them takes any request; when the leader dies the others go on at once, and what was
# registered is there.
. "$(dirname "$0")/lib.sh"
suite_start '' -servers 3 -clients 2
mapfile -t urls < <(sed -n 's/^ *\(HTTP\)\{0,1\} *\(http:.*\)/\2/p' "$DEV_LOG")
[ "${#urls[@]}" = 3 ] || fail "not three addresses: ${urls[*]}"

note 'all three know the leader, the servers, and the nodes'
leader_at() { curl -fsS -m 10 "$1/v1/status/leader" | jq -r .; }
agreed() { [ "$(for url in "${urls[@]}"; do leader_at "$url"; done | sort -u | wc -l)" = 1 ]; }
wait_for 10 'they agree on a leader' agreed
for url in "${urls[@]}"; do
  [ "$(curl -fsS "$url/v1/status/peers" | jq length)" = 3 ] || fail "$url does not know three servers"
  [ "$(curl -fsS "$url/v1/nodes" | jq length)" = 2 ] || fail "$url does not know two nodes"
done

note 'a job registered at each runs, and is seen at all'
for i in 0 1 2; do NORN_ADDR=${urls[$i]} submit "web-$i" service 1 'exec sleep 3600' >/dev/null; done
for url in "${urls[@]}"; do
  for i in 0 1 2; do [ "$(curl -fsS "$url/v1/job/web-$i" | jq -r .ID)" = "web-$i" ] || fail "web-$i at $url"; done
done
for i in 0 1 2; do wait_for 15 "web-$i runs" allocs_are "web-$i" running 1; done

note 'logs are read at any server, wherever the agent polls'
submit talk service 2 'echo heard; exec sleep 3600' >/dev/null
wait_for 15 'talk runs' allocs_are talk running 2
for alloc in $(allocs talk | jq -r '.[].ID'); do
  for url in "${urls[@]}"; do
    heard() { [ "$(NORN_ADDR=$url "$NCTL" alloc logs "$alloc")" = heard ]; }
    wait_for 10 "the output of ${alloc:0:8} at $url" heard
  done
done

note 'commands run in tasks from any server, with input and output of any size'
for url in "${urls[@]}"; do
  export NORN_ADDR=$url
  run_in() { "$NCTL" alloc exec -t=false "$alloc" "$@"; }
  [ "$(head -c 3000000 /dev/zero | run_in sh -c 'cat; exit 0' | wc -c)" = 3000000 ] || fail "not all of it came back by $url"
  status=0
  run_in sh -c 'exit 9' </dev/null || status=$?
  [ "$status" = 9 ] || fail "exit code $status by $url"
  rm -f "$WORK/visit"
  "$NCTL" alloc exec -t=false "$alloc" sh -c "echo \$\$ >$WORK/visit; exec sleep 3600" </dev/null 2>/dev/null &
  client=$!
  wait_for 30 'the command runs' test -s "$WORK/visit"
  kill -KILL "$client"
  wait "$client" 2>/dev/null || true
  wait_for 30 "the command ends with its client at $url" gone "$(cat "$WORK/visit")"
done
export NORN_ADDR=${urls[0]}

note 'how old a read may be'
for url in "${urls[@]}"; do
  curl -fsSi "$url/v1/jobs?stale" | tr -d '\r' >"$WORK/out"
  grep -qi '^X-Nomad-KnownLeader: true$' "$WORK/out" || fail "stale at $url: no known leader"
  contact=$(sed -n 's/^X-Nomad-LastContact: //Ip' "$WORK/out")
  [ "$contact" -lt 5000 ] || fail "stale at $url: last contact $contact ms ago"
done

note 'the leader dies'
leader=$(leader_at "${urls[0]}")
for i in 0 1 2; do [ "${leader##*:}" = $((${urls[$i]##*:} + 1)) ] && dead=$i; done
left=${urls[$(((dead + 1) % 3))]}
kill -KILL "$(pid_of "s$((dead + 1))-jobstore")" "$(pid_of "s$((dead + 1))-gateway")"
NORN_ADDR=$left submit after service 1 'exec sleep 3600' >/dev/null || fail 'no registration after the leader died'
export NORN_ADDR=$left
wait_for 15 'the new job runs' allocs_are after running 1
for job in web-0 web-1 web-2 talk; do [ "$(api GET "/v1/job/$job" | jq -r .Status)" = running ] || fail "$job was lost"; done
wait_for 30 'all three agree again' agreed
curl -fsS "${urls[$dead]}/v1/job/after" | jq -e '.ID == "after"' >/dev/null || fail 'the one that came back does not know the new job'
suite_stop
