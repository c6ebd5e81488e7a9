#!/usr/bin/env bash
# Three servers as an operator sets them up: a file of settings each, certificates of one CA, every address tls+tcp://, found through
# gossip. Schedulers run on a machine of their own, which has no other daemon; so does the agent.
. "$(dirname "$0")/lib.sh"
cd "$WORK"
"$NCTL" tls ca create >out && "$NCTL" tls cert create -server >out && "$NCTL" tls cert create -client >out || fail "$(cat out)"
"$NCTL" tls cert create -server -region eu >out || fail "$(cat out)"

# No two tests have one port: those between 10000 and the first that tasks get, looked at before they are taken.
ports_free() { [ -z "$(ss -Htan "( sport >= :$1 and sport < :$(($1 + 60)) )")" ]; }
base=0
for _ in {1..50}; do
  base=$((10000 + RANDOM % 990 * 10))
  if ports_free "$base"; then break; fi
done
at() { echo "127.0.0.1:$((base + 10 * $1 + $2))"; } # at SERVER KIND: 0 HTTP, 1 door, 2 gossip, 3 raft

tls_of() { echo "tls: { ca_file = \"$WORK/norn-ca.pem\"; cert_file = \"$WORK/$1.pem\"; key_file = \"$WORK/$1-key.pem\"; };"; }
server_conf() { # server_conf N REGION
  local run=$WORK/s$1/run
  mkdir -p "$run"
  local store="jobstore = \"ipc://$run/j.sock\"; jobstore_poll = \"ipc://$run/jp.sock\";"
  cat >"$WORK/s$1.conf" <<END
$(tls_of "$2-server-norn")
jobstore: { listen = "ipc://$run/j.sock"; listen_poll = "ipc://$run/jp.sock"; data_dir = "$WORK/s$1/store"; server_name = "s$1"; region = "$2";
  listen_raft = "tls+tcp://$(at "$1" 3)"; gossip = "ipc://$run/s.sock"; bootstrap_expect = 3; };
gossip: { listen = "ipc://$run/s.sock"; name = "s$1"; region = "$2"; listen_gossip = "tls+tcp://$(at "$1" 2)"; advertise_gossip = "$(at "$1" 2)";
  advertise_rpc = "$(at "$1" 1)"; advertise_http = "$(at "$1" 0)"; advertise_raft = "$(at "$1" 3)"; join = ["$(at 1 2)", "$(at 2 2)"];
  jobstore = "ipc://$run/j.sock"; bootstrap_expect = 3; };
evalbroker: { listen = "ipc://$run/e.sock"; $store };
planqueue: { listen = "ipc://$run/q.sock"; $store };
controller: { listen = "ipc://$run/c.sock"; $store };
gateway: { listen = "ipc://$run/g.sock"; listen_poll = "ipc://$run/gp.sock"; listen_rpc = "tls+tcp://$(at "$1" 1)"; http = "$(at "$1" 0)"; name = "s$1";
  region = "$2"; controller = "ipc://$run/c.sock"; evalbroker = "ipc://$run/e.sock"; planqueue = "ipc://$run/q.sock"; gossip = "ipc://$run/s.sock"; $store };
END
}
started='' # the pid of the last
daemon() { # daemon LOGNAME PROGRAM OPTIONS
  "$BIN/$2" "${@:3}" 2>>"$WORK/$1.log" &
  started=$!
  disown "$started"    # no word of the shell when it is killed
  suites+=("$started") # lib.sh ends them
}
declare -A pids
server_start() {
  local program
  for program in gateway controller planqueue evalbroker gossip jobstore; do # in no helpful order
    daemon "s$1-$program" "$program" --config "$WORK/s$1.conf"
    pids[$1]="${pids[$1]:-} $started"
  done
}
server_kill() {
  local pid
  for pid in ${pids[$1]}; do kill -KILL "$pid"; done
  for pid in ${pids[$1]}; do wait_for 10 "$pid is gone" gone "$pid"; done
  pids[$1]=''
}
says() { grep -qE "$2" "$WORK/$1.log"; }

note 'three servers find each other and elect a leader'
for i in 1 2 3; do
  server_conf "$i" global
  server_start "$i"
done
leader_at() { curl -fsS -m 5 "http://$(at "$1" 0)/v1/status/leader" | jq -er 'select(. != "")'; }
agreed() { # agreed SERVER...: they name one leader
  local i all
  all=$(for i in "$@"; do leader_at "$i" || echo "none at $i"; done | sort -u)
  [ "$(wc -l <<<"$all")" = 1 ] && [[ $all == 127.* ]]
}
wait_for 60 'they agree on a leader' agreed 1 2 3
NORN_ADDR=http://$(at 2 0)
peers_are() { [ "$("$NCTL" operator raft list-peers | grep -cE ' (leader|follower) +true ')" = "$1" ]; }
wait_for 30 'three voters' peers_are 3
for i in 1 2 3; do says "s$i-jobstore" 'event=certificate name=server.global.norn' || fail "s$i has no certificate"; done

note 'a job waits for a scheduler; a machine with nothing but one places it'
daemon agent nodeagent --servers "tls+tcp://$(at 1 1)" --data-dir "$WORK/client" --name agent --cgroup none --tls-ca-file norn-ca.pem \
  --tls-cert-file global-client-norn.pem --tls-key-file global-client-norn-key.pem
ready() { [ "$(api GET /v1/nodes | jq -r '.[].Status')" = ready ]; }
wait_for 60 'the agent is a node' ready
submit before service 2 'exec sleep 3600' >/dev/null
[ "$(allocs before)" = '[]' ] || fail 'placed without a scheduler'
sed "s|/etc/norn/norn-ca.pem|$WORK/norn-ca.pem|; s|/etc/norn/global|$WORK/global|" "$SOURCE/deploy/schedworker-alone.conf" >worker.conf
for i in 1 2 3; do sed -i "s|10.0.0.$i:4647|$(at "$i" 1)|" worker.conf; done
daemon worker schedworker --config worker.conf
wait_for 60 'the job runs' allocs_are before running 2

note 'the disk of an allocation goes from an agent of one server to an agent of another'
node_id() { api GET /v1/nodes | jq -r --arg n "$1" '.[] | select(.Name == $n) | .ID'; }
daemon agent2 nodeagent --servers "tls+tcp://$(at 2 1)" --data-dir "$WORK/client2" --name agent2 --cgroup none --tls-ca-file norn-ca.pem \
  --tls-cert-file global-client-norn.pem --tls-key-file global-client-norn-key.pem
second=$started
two_ready() { [ "$(api GET /v1/nodes | jq '[.[] | select(.Status == "ready")] | length')" = 2 ]; }
wait_for 60 'both agents are nodes' two_ready
"$NCTL" node eligibility -disable "$(node_id agent)" >out || fail "$(cat out)"
api PUT /v1/jobs "$(job_json db service 1 'echo "$NOMAD_ALLOC_ID" >>local/starts; exec sleep 3600' |
  jq '.Job.TaskGroups[0].EphemeralDisk += {Sticky: true, Migrate: true}')" >/dev/null
wait_for 60 'it runs' allocs_are db running 1
"$NCTL" node eligibility -enable "$(node_id agent)" >out || fail "$(cat out)"
"$NCTL" node drain -enable -detach "$(node_id agent2)" >out || fail "$(cat out)"
here() { allocs db | jq -r --arg n "$(node_id agent)" '.[] | select(.ClientStatus == "running" and .NodeID == $n) | .ID'; }
has_both() { [ "$(wc -l <"$WORK/client/alloc/$(here)/task/local/starts")" = 2 ]; }
wait_for 60 'it has moved with its disk' has_both
api DELETE /v1/job/db >/dev/null
kill -TERM "$second"

note 'the leader dies with all its daemons; what was registered is there and more is placed'
leader=$(leader_at 1)
for i in 1 2 3; do if [ "$(at "$i" 1)" = "$leader" ]; then dead=$i; fi; done
left=()
for i in 1 2 3; do [ "$i" = "$dead" ] || left+=("$i"); done
server_kill "$dead"
NORN_ADDR=http://$(at "${left[0]}" 0)
registered() { submit after service 1 'exec sleep 3600'; }
wait_for 60 'a job is registered' registered
wait_for 60 'it runs' allocs_are after running 1
allocs_are before running 2 || fail "of the job before: $(allocs before)"

note 'it is taken out through a follower; started again it is a voter again by itself'
id=$("$NCTL" operator raft list-peers | awk -v n="s$dead" '$1 ~ "^"n {print $2}')
NORN_ADDR=http://$(at "${left[1]}" 0) "$NCTL" operator raft remove-peer -peer-id "$id" >out 2>&1 || fail "remove-peer $id: $(cat out)"
peers_are 2 || fail "voters: $("$NCTL" operator raft list-peers)"
server_start "$dead"
wait_for 60 'three voters again' peers_are 3
wait_for 60 'all three agree' agreed 1 2 3

note 'a server of another region with a certificate of its own is no voter here'
server_conf 4 eu
server_start 4
wait_for 60 'its gossip is up' says s4-gossip event=ready
in_pool() { "$NCTL" server members >out 2>err || grep -q 'Region "eu"' err && grep -qE "^s4\.eu +127\.0\.0\.1 +$((base + 42)) +alive +false" out; }
wait_for 60 's4 is in the pool' in_pool
grep -qE "^s[123]\.global .* alive +true " out || fail "no leader is shown: $(cat out)"
regions_are() { [ "$(api GET /v1/agent/self | jq -r .stats.nomad.known_regions)" = "$1" ]; }
wait_for 30 'two regions are known' regions_are 2
peers_are 3 || fail "voters: $("$NCTL" operator raft list-peers)"

note 'one that claims this region with the certificate of another is refused, and both sides say why'
server_conf 5 global
sed -i 's/global-server-norn/eu-server-norn/g' "$WORK/s5.conf"
server_start 5
wait_for 60 'the newcomer is told' says s5-gossip 'event=peer_refuses.*another region than its certificate'
wait_for 60 'a server tells' grep -qhE 'event=packet_refused.*a certificate of region eu calls itself s5.global' s1-gossip.log s2-gossip.log s3-gossip.log
peers_are 3 || fail "voters: $("$NCTL" operator raft list-peers)"
